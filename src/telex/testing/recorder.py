"""`Recorder`: the messages that a test published and handled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from telex.errors import Closed, Misuse, WouldBlock
from telex.handlers.middleware import Next
from telex.hub import Hub
from telex.message import Message
from telex.topics.subscription import Subscription


class Handled(msgspec.Struct, frozen=True):
    """One call of a handler or of a command."""

    message: Message[Any]
    error: BaseException | None = None
    """The exception that the call raised; None when it returned."""


class Recorder:
    """Records the messages that are published to a hub, and the calls of its handlers and commands.

    ``Hub(middleware=[recorder.middleware], lifespan=recorder.lifespan)`` installs it. The pytest plugin of telex does
    this for its fixture ``hub``, and has the fixture ``recorder``. A recorder belongs to one hub. At most
    ``max_published`` messages may be published between two looks at `published`.
    """

    def __init__(self, max_published: int = 100_000) -> None:
        self._max_published = max_published
        self.handled: list[Handled] = []
        """The calls that have ended, in the order of their ends. A call of a handler that has a retry in its group is
        one entry for each attempt.
        """
        self._published: list[Message[Any]] = []
        self._inbox: Subscription[Any] | None = None

    @property
    def published(self) -> list[Message[Any]]:
        """The messages that were published to topics of the program since the hub was opened, oldest first. Raises
        `Misuse` before the hub is opened.
        """
        if self._inbox is None:
            raise Misuse("look at what was published", "the recorder has no open hub; enter the hub before")
        self._take(self._inbox)
        if self._inbox.lost:
            raise Misuse(
                f"record more than {self._max_published} messages at once",
                "look at recorder.published more often, or subscribe to the topics of the test",
            )
        return self._published

    def _take(self, inbox: Subscription[Any]) -> None:
        with suppress(WouldBlock, Closed):
            while True:
                self._published.append(inbox.receive_nowait())

    @property
    def failed(self) -> list[Handled]:
        """The calls in `handled` that raised."""
        return [each for each in self.handled if each.error is not None]

    def contents(self, topic: str) -> list[Any]:
        """Return the contents of the messages in `published` on one topic."""
        return [message.content for message in self.published if message.topic == topic]

    @asynccontextmanager
    async def lifespan(self, hub: Hub) -> AsyncIterator[None]:
        """Record what is published while the hub is open."""
        async with hub.topic(">").subscribe(buffer=self._max_published) as inbox:
            self._inbox = inbox
            yield
            self._take(inbox)

    def middleware(self, next: Next) -> Next:
        """Record each call."""

        async def step(message: Message[Any]) -> object:
            try:
                result = await next(message)
            except BaseException as error:
                self.handled.append(Handled(message, error))
                raise
            self.handled.append(Handled(message))
            return result

        return step
