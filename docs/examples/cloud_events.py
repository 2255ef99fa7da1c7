import asyncio

import telex
from telex.ext.cloudevents import publish, to_http


async def main() -> None:
    async with telex.Hub("memory://") as hub:
        order = await hub.topic("orders").publish({"number": 17})
        headers, body = to_http([order], "structured", source="/shop")  # what an HTTP client sends
        for _ in range(2):  # what an HTTP server does with it, here twice
            (copy,) = await publish(hub.topic("copies"), headers, body)
        print(copy.content, copy.headers["ce-source"], hub.topic("copies").statistics().published)


asyncio.run(main())
