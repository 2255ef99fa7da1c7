"""A program with conditions that is killed: python -m tests.faults.conditions_worker URL NOTES.

Each change of the counter that it was told is done is a line in NOTES, written by one call.
"""

import asyncio
import os
import sys

import telex

FULL, HUNDRED, OFTEN = 50, 100, 20
KEYS = 5


def declare(hub: telex.Hub) -> tuple[telex.Variable[int], telex.Variable[int]]:
    """The same in all programs: a counter, a switch, and what is to become true."""
    count, switch = hub.variable("count", 0), hub.variable("switch", 0)
    hub.when(count >= FULL, topic="full")
    hub.when((count >= 0).times(1), topic="begun")
    hub.when(hub.rate("ticks:*", per="1h") >= HUNDRED, topic="hundred")
    hub.when(hub.rate("ticks:*", per="1h", by=lambda m: m.content) >= OFTEN, topic="often", rising=True)
    hub.when(switch == 1, topic="rises", rising=True)
    hub.retain(">", messages=1_000_000)
    return count, switch


async def main(url: str, notes: int) -> None:
    hub = telex.Hub(url)
    count, switch = declare(hub)
    async with hub:
        number = 0
        while True:
            number += 1
            await count.add(1)
            os.write(notes, b"added\n")
            await switch.update(lambda value: 1 - value)
            await hub.topic("ticks:all").publish(number % KEYS)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)))
