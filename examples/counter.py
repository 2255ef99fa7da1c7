"""A counter that is printed every ten seconds. When it reaches 1000, one message is published and the trigger ends.
`python examples/counter.py` takes a minute; its test, on a virtual clock, takes milliseconds.
"""

import asyncio
from collections.abc import Callable

import telex


class Counter:
    """Something that counts."""

    value = 0

    async def count(self) -> None:
        """Count, for ever."""
        while True:
            self.value += 1
            await asyncio.sleep(0.045)


async def main(clock: Callable[[], float] | None = None) -> None:
    """Wait until it has reached 1000."""
    counter, hub = Counter(), telex.Hub("memory://", clock=clock)
    hub.when(lambda: counter.value >= 1000, every="10s", topic="counter:full")
    async with hub, hub.topic("counter:full").subscribe() as full:
        counting = asyncio.create_task(counter.count())
        async for message in full:
            print(f"look {message.content.scheduled:%S}: the counter is at {counter.value}")
        counting.cancel()


if __name__ == "__main__":
    asyncio.run(main())
