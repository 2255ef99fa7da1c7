"""`Ticket`: a sent command, for its sender; `PendingOutcome`: the outcome of the command, before and after it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

import msgspec

from telex.codec.content import Content
from telex.commands.outcome import UNSENDABLE, Outcome, Progress, raise_failure
from telex.durations import Duration, optional_seconds
from telex.errors import Closed, ContentError, Timeout
from telex.once.machine import Failure

T = TypeVar("T")
MAX_DONE_WAITERS = 8
"""The number of waiting tasks from which cancelled ones are removed."""


class PendingOutcome(msgspec.Struct, Generic[T], eq=False, weakref=True):
    """The outcome of one command in its sender's process, and the tasks that wait for the outcome."""

    command: str
    id: str
    key: str | None
    gives: Content[Any] | None
    """The type of the result that the sender expects."""
    outcome: Outcome[T] | None = None
    cause: BaseException | None = None
    """The handler's exception, when it ran in this process."""
    error: Closed | None = None
    """The reason why the outcome will never come."""
    step: Progress | None = None
    """The last report of progress."""
    _waiters: list[asyncio.Future[None]] | None = None

    # -- for the sender

    def __await__(self) -> Generator[Any, None, Outcome[T]]:
        while self.outcome is None:
            yield from self.change().__await__()
        return self.outcome

    async def within(self, limit: float | None) -> Outcome[T]:
        """Wait for the outcome, at most ``limit`` seconds. Raises `Timeout`, `Closed`."""
        if self.outcome is not None or limit is None:
            return await self
        try:
            async with asyncio.timeout(limit) as clock:
                return await self
        except TimeoutError:
            if not clock.expired():
                raise
            what = f"the command {self.command!r}, which runs or waits for a program that serves it,"
            raise Timeout(what, limit) from None

    def value(self) -> T:
        """Return the result. Raises `CommandFailed`, `KeyConflict`; `Closed` when there is no outcome."""
        outcome = self.outcome
        if outcome is None:
            raise self.error or Closed("the ticket", "its outcome has not come yet; use `await ticket`")
        return outcome.result if outcome.error is None else raise_failure(outcome, outcome.error, self.cause)

    def change(self) -> asyncio.Future[None]:
        """Return a future that is done at the next report of progress or at the outcome. Raises `Closed`."""
        if self.error is not None:
            raise self.error
        # Each waiter has a future of its own: cancelling one waiter cancels no other.
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        elif len(self._waiters) >= MAX_DONE_WAITERS:
            self._waiters = [waiter for waiter in self._waiters if not waiter.done()]
        self._waiters.append(future)
        return future

    # -- for the transport

    def settle(self, outcome: Outcome[T], cause: BaseException | None = None, *, decode: bool = False) -> None:
        """Set the outcome, unless it is set. ``decode``: it comes from another process, with plain data as its
        result.
        """
        if self.outcome is not None:
            return
        if self.gives is not None and outcome.error is None:
            try:
                convert = self.gives.decode if decode else self.gives.check
                outcome = msgspec.structs.replace(outcome, result=convert(outcome.result, self.command))
            except ContentError as problem:
                text = f"its result is not of the type that was asked for, at {problem.path}: {problem.problem}"
                error, cause = Failure("ContentError", UNSENDABLE, text), problem
                outcome = msgspec.structs.replace(outcome, result=None, error=error)
        self.outcome, self.cause = outcome, cause
        if self._waiters is not None:
            self._wake()

    def report(self, step: Progress) -> None:
        """Set the last report of progress."""
        self.step = step
        self._wake()

    def close(self, error: Closed) -> None:
        """Raise ``error`` in every waiting task: the outcome will never come."""
        self.error = error
        self._wake(error)

    def _wake(self, error: Closed | None = None) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


class Ticket(Generic[T]):
    """A sent command. ``await ticket`` gives its result, any number of times.

    Cancelling a task that waits, or its timeout, does not cancel the command: call `cancel`.
    """

    __slots__ = ("__weakref__", "_cancel", "_pending")

    def __init__(self, pending: PendingOutcome[T], cancel: Callable[[PendingOutcome[Any]], Awaitable[bool]]) -> None:
        self._pending = pending
        self._cancel = cancel

    @property
    def command(self) -> str:
        """The name of the command."""
        return self._pending.command

    @property
    def id(self) -> str:
        """The id of the command. Its `Outcome` has the same id."""
        return self._pending.id

    @property
    def key(self) -> str | None:
        """The key under which the command was sent."""
        return self._pending.key

    @property
    def done(self) -> bool:
        """True when the outcome has come."""
        return self._pending.outcome is not None

    @property
    def closed(self) -> bool:
        """True when the outcome will never come, because the hub was closed."""
        return self._pending.error is not None and self._pending.outcome is None

    @property
    def step(self) -> Progress | None:
        """The last report of progress."""
        return self._pending.step

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result. Raises `CommandFailed`, `KeyConflict`; `Closed` when the hub is closed before."""
        yield from self._pending.__await__()
        return self._pending.value()

    async def result(self, timeout: Duration | None = None) -> T:
        """Return the result, as ``await ticket``, after at most ``timeout``. Raises `Timeout` too; the command
        continues.
        """
        await self.outcome(timeout)
        return self._pending.value()

    async def outcome(self, timeout: Duration | None = None) -> Outcome[T]:
        """Return the outcome, a result or an error, after at most ``timeout``. Raises `Timeout`, `Closed`."""
        return await self._pending.within(optional_seconds(timeout))

    async def progress(self) -> AsyncIterator[Progress]:
        """Iterate over the reports of progress until the outcome comes, from the last report before this call. A slow
        reader gets the newest report and misses earlier ones. Raises `Closed`.
        """
        pending, seen = self._pending, None
        while True:
            if pending.step is not None and pending.step is not seen:
                seen = pending.step
                yield seen
            elif pending.outcome is not None:
                return
            else:
                await pending.change()

    async def cancel(self) -> bool:
        """Ask the worker not to begin the command, or to cancel its handler. The outcome becomes an error with the code
        ``cancelled``, for every sender of the key. Return false when this hub knows that the outcome had come before.
        """
        return self._pending.outcome is None and await self._cancel(self._pending)

    def __repr__(self) -> str:
        outcome = self._pending.outcome
        state = "open" if outcome is None else "done" if outcome.ok else "failed"
        return f"<Ticket of {self.command!r} {self.id}, {state}>"


def pending_of(ticket: Ticket[T]) -> PendingOutcome[T]:
    """Return the internal pending outcome of a ticket."""
    return ticket._pending
