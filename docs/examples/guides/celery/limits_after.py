import asyncio

import telex
from telex.middleware import timeout
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.command("ask", limit="10/s", middleware=[timeout("5s")])
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
