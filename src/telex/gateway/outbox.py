"""`Outbox`: the frames that wait for one client."""

from __future__ import annotations

import asyncio
from collections import deque
from sys import getsizeof


class Outbox:
    """A queue of frames, bounded by their size in memory. One task takes frames, any number of tasks put them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes: int = 0
        self._frames: deque[str] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, frame: str) -> bool:
        """Add a frame, or return False when it does not fit. An empty outbox takes any frame."""
        size = getsizeof(frame)
        if self._frames and self.bytes + size > self.limit:
            return False
        self._frames.append(frame)
        self.bytes += size
        self._filled.set()
        self._empty.clear()
        return True

    async def take(self) -> str:
        """Wait for a frame and return the oldest one. It counts towards the bound until `sent`."""
        while not self._frames:
            self._filled.clear()
            await self._filled.wait()
        return self._frames[0]

    def sent(self) -> None:
        """Remove the frame that `take` returned."""
        self.bytes -= getsizeof(self._frames.popleft())
        if not self._frames:
            self._empty.set()

    async def drained(self) -> None:
        """Wait until the outbox is empty."""
        await self._empty.wait()
