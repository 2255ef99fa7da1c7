"""The libraries that telex is measured against, one file each, and the interface for the fan-out benchmark.

A module here is imported by name, and only in the worker process that measures it: a contestant never pays for what
another one imports. `Peer` is the class that such a module has.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

CONTENT = "hello"
TOPIC = "chatroom:12345"
BUFFER = 1024


class FanOut(Protocol):
    """One topic with a number of subscribers, each of which counts what reached it."""

    async def open(self, subscribers: int) -> None:
        """Make the topic and its subscribers; returns when all of them are there."""

    async def publish(self, count: int) -> None:
        """Publish ``count`` messages at once, without letting the loop go unless the library itself does."""

    def behind(self) -> bool:
        """True while the newest subscriber still has messages waiting."""

    async def close(self) -> list[int]:
        """Let every subscriber finish what it has; how many messages reached each."""


async def caught_up(behind: Callable[[], bool]) -> None:
    """Let the event loop go, once at least, until nobody is ``behind``."""
    await asyncio.sleep(0)
    while behind():  # noqa: ASYNC110
        await asyncio.sleep(0)  # turns of the loop are what is measured


class Readers:
    """One task a subscriber, each running ``read(number)`` until it is cancelled and returning what it counted."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[int]] = []

    async def start(self, count: int, read: Callable[[int], Coroutine[Any, Any, int]]) -> None:
        self._tasks = [asyncio.create_task(read(number)) for number in range(count)]
        # Every task has run to its first wait when this returns.
        await asyncio.sleep(0)

    async def stop(self) -> list[int]:
        """Cancel them, for libraries whose iteration has no end; what each counted."""
        for task in self._tasks:
            task.cancel()
        return await self.join()

    async def join(self) -> list[int]:
        """Wait until each reached its end; what each counted."""
        return await asyncio.gather(*self._tasks)
