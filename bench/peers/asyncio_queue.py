"""`asyncio.Queue`, one a subscriber: what most programs write by hand."""

import asyncio

from bench.peers import BUFFER, CONTENT, Readers


class Peer:
    def __init__(self) -> None:
        self._queues: list[asyncio.Queue[str]] = []
        self._readers = Readers()

    async def open(self, subscribers: int) -> None:
        self._queues = [asyncio.Queue(BUFFER) for _ in range(subscribers)]
        await self._readers.start(subscribers, self._read)

    async def _read(self, number: int) -> int:
        get, count = self._queues[number].get, 0
        try:
            while True:
                await get()
                count += 1
        except asyncio.CancelledError:
            return count

    async def publish(self, count: int) -> None:
        queues = self._queues
        for _ in range(count):
            for queue in queues:
                queue.put_nowait(CONTENT)

    def behind(self) -> bool:
        return not self._queues[-1].empty()

    async def close(self) -> list[int]:
        return await self._readers.stop()
