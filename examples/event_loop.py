"""An event loop: what comes is dispatched by its type, whole numbers, text, and all else to nobody; and who subscribed
to the event itself hears of it, whatever it was. `python examples/event_loop.py` takes three seconds.
"""

import asyncio
from collections.abc import Callable

import telex


async def main(clock: Callable[[], float] | None = None) -> None:
    """Three events, one a second."""
    hub = telex.Hub("memory://", clock=clock)
    events = iter([42, "hello", 3.14])

    @hub.on(int)
    def number(value: int) -> None:
        print("a number:", value)

    @hub.on(str)
    def text(value: str) -> None:
        print("a text:", value)

    @hub.every("1s")
    async def tick(firing: telex.Firing, hub: telex.Hub) -> None:
        await hub.topic(f"event:{firing.number}").publish(next(events))

    async with hub, hub.topic("event:*").subscribe() as all_events:
        for _ in range(3):
            message = await all_events.receive()
            print("heard of", message.topic)
    print("of no interest:", hub.statistics().unhandled)


if __name__ == "__main__":
    asyncio.run(main())
