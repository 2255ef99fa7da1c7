"""`Context`: one delivery, for a handler of a group; `Retry`: the attempts for each message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from telex.checks import number, whole
from telex.codec.content import Content
from telex.durations import Duration, seconds
from telex.engines.contract.groups import Action, Delivery
from telex.errors import BadOption, ContentError, Misuse, reason_of, text_of
from telex.message import Message, type_of

T = TypeVar("T")


class Misfit(ContentError):
    """Content from outside does not fit the handler's type, so the handler is not called."""


def shaped(message: Message[Any], takes: Content[Any]) -> Message[Any]:
    """Return the message with its content converted to the handler's type. Raises `Misfit`."""
    try:
        content = takes.check(message.content, message.topic, type_of(message))
    except ContentError as error:
        raise Misfit(error.topic, error.problem, error.path) from None
    except Exception as error:  # raised by the type's own code
        raise Misfit(message.topic, f"{takes.name} refuses it, {reason_of(error)}") from error
    return message if content is message.content else msgspec.structs.replace(message, content=content)


class Retry(msgspec.Struct, frozen=True):
    """The attempts for each message, and the waits between them.

    The n-th retry comes ``first * factor ** (n - 1)`` after the failure, at most ``most``, plus or minus a random part
    of up to ``jitter`` of the wait, so that many messages are not retried together. ``first`` and ``most`` are
    durations. Raises `BadOption` for a value that is out of range.
    """

    attempts: int = 5
    """The number of attempts, at least 1; after the last one the message becomes a dead letter."""
    first: Duration = 1.0
    """The wait before the first retry."""
    factor: float = 2.0
    """The factor by which each wait is longer than the one before, at least 1."""
    most: Duration = 300.0
    """The longest wait."""
    jitter: float = 0.25
    """The part of a wait, from 0 to 1, by which the wait is changed at random."""

    def __post_init__(self) -> None:
        whole(self.attempts, "attempts", "it must be a whole number of at least 1, the number of attempts")
        number(self.factor, "factor", "it must be a number of at least 1, the factor from each wait to the next", 1)
        number(self.jitter, "jitter", "it must be a number from 0 to 1, a share of the wait", 0, 1)
        first = seconds(self.first, "first")
        if seconds(self.most, "most") < first:
            raise BadOption("most", self.most, f"it must be at least first, {first:g} s: give a longer most=")

    def delay(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after attempt number ``attempt``, from 1, has failed. ``chance`` is random, from 0
        to 1.
        """
        first, most = seconds(self.first, "first"), seconds(self.most, "most")
        try:
            wait = min(most, first * float(self.factor) ** (attempt - 1))
        except OverflowError:  # after many attempts
            wait = most if first else 0.0
        return max(0.0, wait * (1 + self.jitter * (2 * chance - 1)))


class Context(Generic[T]):
    """One delivery, passed to a handler's argument that is annotated ``telex.Context``.

    Calling its methods is optional: without them, the delivery is acknowledged when the handler returns, and retried
    when it raises. The first settlement wins. Each method returns true when its settlement won, once the engine has
    stored it. Each raises `EngineFailed`, and `Misuse` inside a transaction of the same task on SQLite, since settling
    would wait for that transaction. Do not use it after the handler has returned.
    """

    __slots__ = ("_delivery", "_settle", "_takes", "group", "lease_lost", "settled")

    def __init__(
        self,
        delivery: Delivery,
        group: str,
        settle: Callable[[Delivery, Action, float, str], Awaitable[bool]],
        takes: Content[T] | None = None,
    ) -> None:
        self._delivery = delivery
        self._settle = settle
        self._takes = takes
        self.group: str = group
        """The name of the group."""
        self.settled: Action | None = None
        """The settlement that the handler asked for; None before."""
        self.lease_lost: bool = False
        """True after the lease was lost: another consumer may have the message, and this call settles nothing. An async
        function is cancelled then, and a process is killed. A function that runs in a thread has to look here.
        """

    @property
    def message(self) -> Message[T]:
        """The message. Raises `ContentError` when its content came from outside and does not fit the annotation."""
        message = self._delivery.message
        return message if self._takes is None else shaped(message, self._takes)

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._delivery.attempt

    async def ack(self) -> bool:
        """Acknowledge the message, so that it is not delivered again. Return once the engine has stored this."""
        return await self._once("ack", 0.0, "")

    async def nack(self, delay: Duration = 0.0) -> bool:
        """Redeliver the message after ``delay``; after the last attempt, make it a dead letter."""
        return await self._once("nack", seconds(delay, "delay"), "the handler asked for a redelivery")

    async def reject(self, reason: str = "its handler rejected it") -> bool:
        """Make the message a dead letter without another attempt, and publish its copy to the dead-letter topic."""
        return await self._once("reject", 0.0, text_of(reason))

    async def extend(self, duration: Duration) -> bool:
        """Lease the message for ``duration`` from now. telex renews the lease while the handler runs, so only a handler
        that blocks the event loop for longer than a lease needs this.
        """
        return await self._settle(self._delivery, "extend", seconds(duration, "duration"), "")

    async def _once(self, action: Action, delay: float, reason: str) -> bool:
        if self.settled is not None:
            return False
        settling = self._settle(self._delivery, action, delay, reason)
        self.settled = action  # after `_settle` has accepted it
        return await settling

    def __repr__(self) -> str:
        return f"<Context of {self.message.topic!r} {self.message.seq}, group {self.group!r}, attempt {self.attempt}>"


class ThreadContext(Context[T]):
    """The `Context` of a function that runs in a thread. It settles by returning or raising."""

    __slots__ = ()

    def ack(self) -> NoReturn:
        _refuse_in_thread()

    def nack(self, delay: Duration = 0.0) -> NoReturn:
        _refuse_in_thread()

    def reject(self, reason: str = "") -> NoReturn:
        _refuse_in_thread()

    def extend(self, duration: Duration) -> NoReturn:
        _refuse_in_thread()


def _refuse_in_thread() -> NoReturn:
    fix = "return to acknowledge it, raise telex.Nack or telex.Reject, or make the handler `async def`"
    raise Misuse("settle the message in a thread", fix)


def delivery_of(context: Context[Any]) -> Delivery:
    """Return the delivery of a context."""
    return context._delivery


current: ContextVar[Context[Any] | None] = ContextVar("current", default=None)
"""The context of the running handler, if the handler takes a `Context`."""
entered: ContextVar[object] = ContextVar("entered", default=None)
"""The transaction of the running handler, if the handler was declared with ``tx=True``."""
