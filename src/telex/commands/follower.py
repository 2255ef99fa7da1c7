"""`Follower`: an iterator over the outcomes of commands, whichever program sent them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from telex.commands.outcome import Outcome, Progress
from telex.durations import Duration, optional_seconds
from telex.errors import Closed, Timeout
from telex.message import Lost
from telex.topics.subscription import AnySubscription, receive_or_end

if TYPE_CHECKING:
    from typing import Self

Read = Callable[[object], Awaitable[Outcome[Any] | Progress | None]]


class Follower:
    """An iterator over every `Outcome` of the commands that it follows, and their `Progress` if requested.

    ``hub.follow`` makes it; enter it with ``async with``. When the log no longer has its start, the first item is a
    `Lost`. Iteration ends when the hub is closed.
    """

    def __init__(self, subscription: AnySubscription[Any, Any], read: Read, wanted: frozenset[str]) -> None:
        self._subscription = subscription
        self._read = read
        self._wanted = wanted  # the last tokens of the topics to read

    async def __aenter__(self) -> Self:
        await self._subscription.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._subscription.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[Any] | Progress | Lost:
        while True:
            message = await receive_or_end(self._subscription)
            if isinstance(message, Lost):
                return message
            if message.topic.rpartition(":")[2] in self._wanted:
                item = await self._read(message.content)
                if item is not None:
                    return item

    async def receive(self, timeout: Duration | None = None) -> Outcome[Any] | Progress | Lost:
        """Wait for the next item, at most ``timeout``. Raises `Timeout`, `Closed`."""
        limit = optional_seconds(timeout)
        if limit is None:
            try:
                return await self.__anext__()
            except StopAsyncIteration:
                raise Closed(f"following {self._subscription.topic!r}", "its hub was closed") from None
        try:
            async with asyncio.timeout(limit) as clock:
                return await self.receive()
        except TimeoutError:
            if not clock.expired():
                raise
            raise Timeout(f"following {self._subscription.topic!r}", limit) from None
