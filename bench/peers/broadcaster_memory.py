"""broadcaster on `memory://`, read by `async for` as its documentation does. Its queues have no bound."""

import asyncio

from broadcaster import Broadcast

from bench.peers import CONTENT, TOPIC, Readers, caught_up


class Peer:
    def __init__(self) -> None:
        self._broadcast = Broadcast("memory://")
        self._received: list[int] = []
        self._published = 0
        self._readers = Readers()

    async def open(self, subscribers: int) -> None:
        await self._broadcast.connect()
        self._received = [0] * subscribers
        await self._readers.start(subscribers, self._read)

    async def _read(self, number: int) -> int:
        received = self._received
        try:
            async with self._broadcast.subscribe(TOPIC) as events:
                async for _ in events:  # type: ignore[union-attr]  # its own annotation allows None
                    received[number] += 1
        except asyncio.CancelledError:
            pass
        return received[number]

    async def publish(self, count: int) -> None:
        publish = self._broadcast.publish
        for _ in range(count):
            await publish(TOPIC, CONTENT)
        self._published += count

    def behind(self) -> bool:
        return self._received[-1] < self._published

    async def close(self) -> list[int]:
        await caught_up(lambda: any(count < self._published for count in self._received))
        received = await self._readers.stop()
        await self._broadcast.disconnect()
        return received
