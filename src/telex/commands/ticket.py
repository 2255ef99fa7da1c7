"""`Ticket`: what a sender has of a command that was accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

import msgspec

from telex.codec.content import Content
from telex.commands.outcome import UNSENDABLE, Outcome, Progress
from telex.durations import Duration, optional_seconds
from telex.errors import Closed, ContentError, Timeout
from telex.once.machine import Failure

T = TypeVar("T")
MANY = 8


class Ticket(Generic[T]):
    """A command that was accepted. ``await ticket`` gives its result, as often as it is asked for.

    Whoever waits may be cancelled, or run out of time: the command goes on. A ticket that nobody waits for holds
    nothing but itself.
    """

    __slots__ = (
        "__weakref__",
        "_cancel",
        "_cause",
        "_closed",
        "_gives",
        "_outcome",
        "_step",
        "_waiters",
        "command",
        "id",
        "key",
    )

    def __init__(
        self,
        command: str,
        id: str,
        key: str | None,
        cancel: Callable[[Ticket[Any]], Awaitable[bool]],
        gives: Content[Any] | None = None,
    ) -> None:
        self.command: str = command
        """The name of the command."""
        self.id: str = id
        """The id of the command as it was sent."""
        self.key: str | None = key
        """The key that it was sent under."""
        self._cancel = cancel
        self._gives = gives  # what its result is to be
        self._outcome: Outcome[T] | None = None
        self._cause: BaseException | None = None
        self._closed: Closed | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._step: Progress | None = None  # the last one, for who asks later

    @property
    def done(self) -> bool:
        """Whether its outcome is known here."""
        return self._outcome is not None

    @property
    def closed(self) -> bool:
        """Whether its outcome will never be known here, since its hub was closed."""
        return self._closed is not None and self._outcome is None

    @property
    def step(self) -> Progress | None:
        """How far it was when that was told last."""
        return self._step

    def __await__(self) -> Generator[Any, None, T]:
        """The result. Raises `CommandFailed`, `KeyConflict`; `Closed` when the hub was closed before it came."""
        while self._outcome is None:
            yield from self._wait().__await__()
        return self.value()

    def value(self) -> T:
        """The result of one that is `done`. Raises as awaiting it; `Closed` also when it is not done."""
        outcome = self._outcome
        if outcome is None:
            raise self._closed or Closed("the ticket", "its outcome is not there yet; use `await ticket`")
        return outcome.result if outcome.error is None else outcome.fail(self._cause)

    async def result(self, timeout: Duration | None = None) -> T:
        """As ``await ticket``, at most ``timeout``. Raises `Timeout` as well; the command goes on."""
        await self.outcome(timeout)
        return await self

    async def outcome(self, timeout: Duration | None = None) -> Outcome[T]:
        """What became of it, whether that is a result or an error. Raises `Timeout`, `Closed`."""
        limit = optional_seconds(timeout)
        if self._outcome is None and limit is not None:
            try:
                async with asyncio.timeout(limit) as clock:
                    await self._until_done()
            except TimeoutError:
                if not clock.expired():
                    raise
                raise Timeout(f"the command {self.command!r}", limit) from None
        return await self._until_done()

    async def _until_done(self) -> Outcome[T]:
        while self._outcome is None:
            await self._wait()
        return self._outcome

    async def progress(self) -> AsyncIterator[Progress]:
        """How far it is, as it is told, until its outcome is there. Who comes late gets the last that was told first,
        and who is slow the newest."""
        seen: Progress | None = None
        while True:
            if self._step is not None and self._step is not seen:
                seen = self._step
                yield seen
            elif self._outcome is not None:
                return
            else:
                await self._wait()

    async def cancel(self) -> bool:
        """Ask that it is not begun or, if it was, that its handler is cancelled; its outcome is then an error with the
        code ``cancelled``, for every sender of the key. Whether that was in time, as far as is known here: False when
        its outcome is there already.
        """
        return False if self._outcome is not None else await self._cancel(self)

    def _wait(self) -> asyncio.Future[None]:
        if self._closed is not None:
            raise self._closed
        # One future each: who is cancelled while waiting cancels only that.
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        elif len(self._waiters) >= MANY:  # who was cancelled or ran out of time leaves nothing
            self._waiters = [waiter for waiter in self._waiters if not waiter.done()]
        self._waiters.append(future)
        return future

    def settle(self, outcome: Outcome[T], cause: BaseException | None = None, *, from_outside: bool = False) -> None:
        """Its outcome is there. The first one counts. One that comes ``from_outside`` of this process has a plain
        result.
        """
        if self._outcome is not None:
            return
        if self._gives is not None and outcome.error is None:
            try:
                shape = self._gives.decode if from_outside else self._gives.check
                outcome = msgspec.structs.replace(outcome, result=shape(outcome.result, self.command))
            except ContentError as problem:
                said = f"its result is not of the type that was asked for, at {problem.path}: {problem.problem}"
                error, cause = Failure("ContentError", UNSENDABLE, said), problem
                outcome = msgspec.structs.replace(outcome, result=None, error=error)
        self._outcome, self._cause = outcome, cause
        if self._waiters is not None:
            self._wake()

    def tell(self, step: Progress) -> None:
        """It has come so far."""
        self._step = step
        self._wake()

    def close(self, error: Closed) -> None:
        """Its outcome will never come here."""
        self._closed = error
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_exception(error)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        state = "open" if self._outcome is None else "done" if self._outcome.ok else "failed"
        return f"<Ticket of {self.command!r} {self.id}, {state}>"


def known_outcome(ticket: Ticket[T]) -> Outcome[T] | None:
    """Return the outcome of a ticket that is done, in any thread; None before."""
    return ticket._outcome
