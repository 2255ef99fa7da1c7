"""`BlockingTicket` and `BlockingFollower`: those of a program that is not async."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from telex.blocking.thread import Thread
from telex.commands.follower import Follower as AsyncFollower
from telex.commands.outcome import Outcome, Progress
from telex.commands.ticket import Ticket as AsyncTicket
from telex.durations import Duration
from telex.errors import Closed
from telex.message import Lost

T = TypeVar("T")


class BlockingTicket(Generic[T]):
    """A `telex.Ticket` behind a thread: a command that was accepted. Whoever waits may be interrupted, or run out of
    time: the command goes on.
    """

    def __init__(self, ticket: AsyncTicket[T], thread: Thread) -> None:
        self._ticket = ticket
        self._thread = thread

    @property
    def command(self) -> str:
        """The command's name."""
        return self._ticket.command

    @property
    def id(self) -> str:
        """The id of this command, as it was sent."""
        return self._ticket.id

    @property
    def key(self) -> str | None:
        """What makes repeats of it one."""
        return self._ticket.key

    @property
    def done(self) -> bool:
        """Whether its outcome is known here."""
        return self._ticket.done

    @property
    def closed(self) -> bool:
        """Whether its outcome will never be known here, since the hub was closed."""
        return self._ticket.closed

    @property
    def step(self) -> Progress | None:
        """The last progress that was reported."""
        return self._ticket.step

    def result(self, timeout: Duration | None = None) -> T:
        """Its result; as the coroutine of this name. What is known can be asked for when the hub is closed, too."""
        outcome = self.outcome(timeout)
        return outcome.result if outcome.error is None else outcome.fail(self._ticket._cause)

    def outcome(self, timeout: Duration | None = None) -> Outcome[T]:
        """What became of it; as the coroutine of this name."""
        known = self._ticket._outcome
        return self._thread.wait(self._ticket.outcome(timeout)) if known is None else known

    def progress(self) -> Iterator[Progress]:
        """How far it is, as it is told, until its outcome is there."""
        steps = self._ticket.progress()

        async def next_step() -> Progress | None:
            return await anext(steps, None)

        while (step := self._thread.wait(next_step())) is not None:
            yield step

    def cancel(self) -> bool:
        """Ask that it is not begun, or that its handler is cancelled; as the coroutine of this name."""
        return self._thread.wait(self._ticket.cancel())

    def __repr__(self) -> str:
        return f"<blocking {self._ticket!r}>"


class BlockingFollower:
    """A `telex.Follower` behind a thread: iterate it with ``for``, or call `receive`."""

    def __init__(self, follower: AsyncFollower, thread: Thread) -> None:
        self._follower = follower
        self._thread = thread

    def __enter__(self) -> Self:
        """Begin to hear."""
        self._thread.wait(self._follower.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more. Twice is fine."""
        with suppress(Closed):  # of a hub that was closed before it
            self._thread.wait(self._follower.__aexit__(None, None, None))

    def __iter__(self) -> Iterator[Outcome[Any] | Progress | Lost]:
        """Each in turn, until this or the hub is closed."""
        while (told := self._thread.wait(self._next())) is not None:
            yield told

    async def _next(self) -> Outcome[Any] | Progress | Lost | None:
        return await anext(self._follower, None)

    def receive(self, timeout: Duration | None = None) -> Outcome[Any] | Progress | Lost:
        """The next one; as the coroutine of this name."""
        return self._thread.wait(self._follower.receive(timeout))
