"""What waits to be sent to one client."""

from __future__ import annotations

import asyncio
from collections import deque
from sys import getsizeof


class Outbox:
    """Frames in order, bounded by the bytes that they take in memory. One task takes, any number put."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes: int = 0
        self._frames: deque[str] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, frame: str) -> bool:
        """Add a frame; False when others wait already and it does not fit. Alone, a frame always fits."""
        size = getsizeof(frame)
        if self._frames and self.bytes + size > self.limit:
            return False
        self._frames.append(frame)
        self.bytes += size
        self._filled.set()
        self._empty.clear()
        return True

    async def take(self) -> str:
        """The oldest frame, waited for. It counts until `sent`."""
        while not self._frames:
            self._filled.clear()
            await self._filled.wait()
        return self._frames[0]

    def sent(self) -> None:
        """What `take` gave has been sent."""
        self.bytes -= getsizeof(self._frames.popleft())
        if not self._frames:
            self._empty.set()

    async def drained(self) -> None:
        """Wait until nothing waits."""
        await self._empty.wait()
