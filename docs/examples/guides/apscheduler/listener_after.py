import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)
levels = [3, 0]


@hub.command("measure")
async def measure() -> int:
    level = levels.pop(0)
    if level == 0:
        raise telex.CommandError("the tank is empty", code="empty")
    return level


async def main() -> None:
    async with hub, hub.follow("*") as outcomes:  # in this process or in another
        await hub.schedules.add("tank", "every 1h", command="measure")
        await asyncio.sleep(2 * 3600 + 1)
        for _ in range(2):
            outcome = await outcomes.receive(timeout=1)
            assert isinstance(outcome, telex.Outcome)
            print(outcome.command, outcome.result, outcome.error and outcome.error.message)


clock.run(main())
# -> measure 3 None
# -> measure None the tank is empty
