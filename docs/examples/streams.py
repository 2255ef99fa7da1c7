import asyncio
from collections.abc import AsyncIterator

import telex

hub = telex.Hub()


@hub.command("complete")
async def complete(prompt: str) -> AsyncIterator[str]:
    for token in ("fox", "jumps", "high"):
        await asyncio.sleep(0.01)  # the model works
        yield f"{prompt} {token}"


async def main() -> None:
    async with hub:
        stream = hub.stream("complete", "the", type=str)
        async for part in stream:
            print(part.content)
        assert stream.ticket is not None
        print("parts:", await stream.ticket)


asyncio.run(main())
