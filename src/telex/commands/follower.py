"""`Follower`: hears what becomes of commands, whoever sent them."""

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

Opened = Callable[[object], Awaitable[Outcome[Any] | Progress | None]]


class Follower:
    """Made by ``hub.follow``, entered with ``async with``, and iterated: every `Outcome` of the commands that it
    follows, and their `Progress` if that was asked for. When the start that it was given is gone, the first thing is a
    `Lost`. Iteration ends when the hub is closed.
    """

    def __init__(self, subscription: AnySubscription[Any, Any], opened: Opened, wanted: frozenset[str]) -> None:
        self._subscription = subscription
        self._opened = opened
        self._wanted = wanted

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
        # The last token of the topic says what it is of.
        while True:
            message = await receive_or_end(self._subscription)
            if isinstance(message, Lost):
                return message
            if message.topic.rpartition(":")[2] in self._wanted:
                told = await self._opened(message.content)
                if told is not None:
                    return told

    async def receive(self, timeout: Duration | None = None) -> Outcome[Any] | Progress | Lost:
        """The next one. Raises `Timeout`, `Closed`."""
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
