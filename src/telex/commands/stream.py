"""`Stream`: the parts of a command that yields, for a reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from telex.codec.content import Content
from telex.commands.streaming import ATTEMPT, PART, stream_topic
from telex.commands.ticket import PendingOutcome, Ticket, pending_of
from telex.errors import Misuse, PartsLost, StreamRestarted, Timeout
from telex.message import Lost, Message, Position
from telex.topics.subscription import ReportingSubscription
from telex.topics.topic import Topic

T = TypeVar("T")
_OTHERS = "other readers subscribe to the topic of its parts, $stream:<command>:<id>"
END_SECONDS = 5.0
"""The time for which the end of a stream may come after the outcome of its command."""


class Stream(Generic[T]):
    """The parts of one command that yields: iterate with ``async for``. Each part is a `Message`.

    The first iteration sends the command. It ends after the last part, and raises `CommandFailed` when the function
    raised, and `PartsLost` when parts are no longer kept. When a worker has died, it raises `StreamRestarted`; iterate
    again for the parts of the next attempt. Leaving the loop does not end the command: call `cancel`. Another iteration
    continues after the last part, and an iteration that goes on at the same time raises `Misuse`.
    """

    def __init__(
        self,
        send: Callable[[], Awaitable[Ticket[Any]]],
        topic: Callable[[str], Topic[Any]],
        parts: Content[Any] | None,
    ) -> None:
        self.ticket: Ticket[Any] | None = None
        """The ticket of the command, whose result is the number of parts; None before the first iteration."""
        self.attempt: int = 0
        """The attempt of the last part, from 1; 0 before the first part."""
        self.ended: bool = False
        """True when the last part has come."""
        self.position: Position | None = None
        """The position after the last part, with which another reader continues; None before the first iteration."""
        self._send = send
        self._sending = False
        self._iteration = object()  # that of the last reader
        self._topic = topic
        self._parts = parts

    def __aiter__(self) -> AsyncGenerator[Message[T], None]:  # noqa: PYI058  # readers close it
        return self._iterate()

    async def cancel(self) -> bool:
        """Cancel the command, as `Ticket.cancel`. Return false when it was not sent or has ended."""
        return self.ticket is not None and await self.ticket.cancel()

    async def _iterate(self) -> AsyncGenerator[Message[T], None]:
        if self.ended:
            return
        if self.ticket is None:
            self.ticket = await self._send_once()
        iteration = self._iteration = object()
        pending = pending_of(self.ticket)
        topic = self._topic(stream_topic(self.ticket.command, self.ticket.id))
        if self.position is None:  # before the first part, also when it is no longer kept
            self.position = Position(0, (await topic.position()).epoch)
        async with topic.subscribe(start=self.position, overflow="catch_up", report_lost=True) as inbox:
            while True:
                for item in await _next(inbox, pending):
                    if iteration is not self._iteration:
                        raise Misuse("iterate over a stream twice at the same time", _OTHERS)
                    if isinstance(item, Lost):
                        raise PartsLost(self.ticket.command, item.count)
                    self._enter(item, inbox.position.epoch)
                    if item.headers[PART] == "end":
                        self.ended = item.content is None
                        await pending
                        pending.value()  # raises the error
                        return
                    if self._parts is not None:
                        item = msgspec.structs.replace(item, content=self._parts.check(item.content, topic.id))
                    yield item

    async def _send_once(self) -> Ticket[Any]:
        if self._sending:
            raise Misuse("iterate over a stream twice at the same time", _OTHERS)
        self._sending = True
        try:
            return await self._send()
        finally:
            self._sending = False

    def _enter(self, item: Message[Any], epoch: str) -> None:
        """Continue with ``item``. Raises `StreamRestarted` when it is the first of another attempt; then it comes
        again.
        """
        before, self.attempt = self.attempt, int(item.headers[ATTEMPT])
        restarted = before and self.attempt > before
        self.position = Position(item.seq - 1 if restarted else item.seq, epoch)
        if restarted and self.ticket is not None:
            raise StreamRestarted(self.ticket.command, self.attempt)


async def _next(inbox: ReportingSubscription[Any], pending: PendingOutcome[Any]) -> tuple[Message[Any] | Lost, ...]:
    """Return the next messages. Raises the error of a command that ended without the end of its stream."""
    if inbox.waiting:
        return await inbox.receive_many()
    if pending.outcome is not None and pending.outcome.ok:
        try:
            return await inbox.receive_many(timeout=END_SECONDS)  # the end was stored before the outcome
        except Timeout:
            fix = "its function does not yield: use hub.call, or have it yield its parts"
            raise Misuse(f"stream the command {pending.command!r}", fix) from None
    if pending.outcome is not None:
        pending.value()  # raises: it was refused, or its workers died
    outcome = pending.change()  # first: it raises when the hub was closed
    receiving = asyncio.ensure_future(inbox.receive_many())
    try:
        await asyncio.wait((receiving, outcome), return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            return receiving.result()
        outcome.result()  # raises when the hub was closed
        return ()
    finally:
        for future in (receiving, outcome):
            future.cancel()
        await asyncio.gather(receiving, outcome, return_exceptions=True)
