"""`BlockingTicket` and `BlockingFollower`: commands without asyncio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from telex.blocking.thread import HubThread
from telex.commands.follower import Follower as AsyncFollower
from telex.commands.outcome import Outcome, Progress
from telex.commands.stream import Stream as AsyncStream
from telex.commands.ticket import Ticket as AsyncTicket
from telex.commands.ticket import pending_of
from telex.durations import Duration
from telex.errors import Closed
from telex.message import Lost, Message, Position

T = TypeVar("T")


class BlockingTicket(Generic[T]):
    """The ticket of a command that a blocking hub has sent. Interrupting the wait for its outcome, or a timeout, does
    not cancel the command.
    """

    def __init__(self, ticket: AsyncTicket[T], thread: HubThread) -> None:
        self._ticket = ticket
        self._thread = thread

    @property
    def command(self) -> str:
        """The command's name."""
        return self._ticket.command

    @property
    def id(self) -> str:
        """The id of the command."""
        return self._ticket.id

    @property
    def key(self) -> str | None:
        """The key under which the command was sent."""
        return self._ticket.key

    @property
    def done(self) -> bool:
        """True when its outcome is known in this process."""
        return self._ticket.done

    @property
    def closed(self) -> bool:
        """True when the hub was closed before its outcome was known."""
        return self._ticket.closed

    @property
    def step(self) -> Progress | None:
        """The latest progress, or None."""
        return self._ticket.step

    def result(self, timeout: Duration | None = None) -> T:
        """Wait for the outcome and return the result; as ``telex.Ticket.result``. A known result is returned also after
        the hub was closed."""
        self.outcome(timeout)
        return pending_of(self._ticket).value()

    def outcome(self, timeout: Duration | None = None) -> Outcome[T]:
        """Wait for the outcome and return it; as ``telex.Ticket.outcome``."""
        known = pending_of(self._ticket).outcome
        return self._thread.wait(self._ticket.outcome(timeout)) if known is None else known

    def progress(self) -> Iterator[Progress]:
        """Iterate over the progress reports until the outcome is known; as ``telex.Ticket.progress``."""
        return self._thread.iterate(self._ticket.progress())

    def cancel(self) -> bool:
        """Ask for the command to be cancelled; as ``telex.Ticket.cancel``."""
        return self._thread.wait(self._ticket.cancel())

    def __repr__(self) -> str:
        return f"<blocking {self._ticket!r}>"


class BlockingStream(Generic[T]):
    """The parts of a command that yields, for a blocking hub: iterate with ``for``. See `telex.Stream`."""

    def __init__(self, stream: AsyncStream[T], thread: HubThread) -> None:
        self._stream = stream
        self._thread = thread

    @property
    def ticket(self) -> BlockingTicket[Any] | None:
        """The ticket of the command; None before the first iteration."""
        ticket = self._stream.ticket
        return None if ticket is None else BlockingTicket(ticket, self._thread)

    @property
    def attempt(self) -> int:
        """The attempt of the last part; 0 before the first part."""
        return self._stream.attempt

    @property
    def ended(self) -> bool:
        """True when the last part has come."""
        return self._stream.ended

    @property
    def position(self) -> Position | None:
        """The position after the last part; None before the first part."""
        return self._stream.position

    def __iter__(self) -> Iterator[Message[T]]:
        """Iterate over the parts. Leaving the loop does not end the command."""
        parts = self._stream.__aiter__()
        try:
            yield from self._thread.iterate(parts)
        finally:
            with suppress(Closed):
                self._thread.wait(parts.aclose())

    def cancel(self) -> bool:
        """Cancel the command; as ``telex.Stream.cancel``."""
        return self._thread.wait(self._stream.cancel())


class BlockingFollower:
    """The outcomes and the progress of commands, for a blocking hub: iterate with ``for``, or call `receive`. See
    `telex.Follower`.
    """

    def __init__(self, follower: AsyncFollower, thread: HubThread) -> None:
        self._follower = follower
        self._thread = thread

    def __enter__(self) -> Self:
        """Begin to follow."""
        self._thread.wait(self._follower.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. It may be called twice."""
        with suppress(Closed):  # the hub was closed before the follower
            self._thread.wait(self._follower.__aexit__(None, None, None))

    def __iter__(self) -> Iterator[Outcome[Any] | Progress | Lost]:
        """Iterate over outcomes, progress and losses, until this follower or the hub is closed."""
        return self._thread.iterate(self._follower)

    def receive(self, timeout: Duration | None = None) -> Outcome[Any] | Progress | Lost:
        """Wait for the next outcome, progress or loss; as ``telex.Follower.receive``."""
        return self._thread.wait(self._follower.receive(timeout))
