import asyncio

import telex
from telex.middleware import rate_limit, timeout
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.command("ask", middleware=[rate_limit(10), timeout("5s")])
async def ask(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "an answer"


async def main() -> None:
    async with hub:
        print(await hub.call("ask", 1))
        try:
            await hub.call("ask", 10)
        except telex.CommandFailed as error:
            print(error.type)


clock.run(main())
# -> an answer
# -> Timeout
