"""bubus: `dispatch`, then wait until the bus is idle. Its log is off, its history as short as it lets it be."""

# mypy: disable-error-code="import-untyped,misc"

import logging
from collections.abc import Callable

from bubus import BaseEvent, EventBus

from bench.peers import CONTENT


class Said(BaseEvent[None]):
    content: str


class Peer:
    def __init__(self) -> None:
        logging.getLogger("bubus").setLevel(logging.CRITICAL)
        self._bus = EventBus(max_history_size=1)
        self._received: list[int] = []

    async def open(self, subscribers: int) -> None:
        self._received = [0] * subscribers
        for number in range(subscribers):
            self._bus.on(Said, self._handler(number))

    def _handler(self, number: int) -> Callable[[Said], None]:
        received = self._received

        # Plain functions: it calls them faster than async ones.
        def receive(event: Said) -> None:
            received[number] += 1

        receive.__name__ = f"receive_{number}"
        return receive

    async def publish(self, count: int) -> None:
        # Its queue takes 50 at most, so a burst is waited for in parts.
        for begin in range(0, count, 32):
            events = [self._bus.dispatch(Said(content=CONTENT)) for _ in range(min(32, count - begin))]
            for event in events:
                await event

    def behind(self) -> bool:
        return False

    async def close(self) -> list[int]:
        await self._bus.stop(timeout=1, clear=True)
        return self._received
