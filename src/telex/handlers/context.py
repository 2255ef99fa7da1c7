"""`Context`: what a group's handler may do with the message that it works on; `Retry`: when it gets it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import msgspec

from telex.codec.content import Content
from telex.durations import Duration, seconds
from telex.engines.contract.groups import Action, Delivery
from telex.errors import BadOption, ContentError, reason_of, text_of
from telex.message import Message, type_of

T = TypeVar("T")


class Misfit(ContentError):
    """Content that came from outside is refused by the type that a handler takes, and the handler is not called."""


def shaped(message: Message[Any], takes: Content[Any]) -> Message[Any]:
    """The message with content of the type that a handler takes: itself, when it has that. Raises `Misfit`, whatever
    the type's own code raises.
    """
    try:
        content = takes.check(message.content, message.topic, type_of(message))
    except ContentError as error:
        raise Misfit(error.topic, error.problem, error.path) from None
    except Exception as error:  # the type's own code is the program's
        raise Misfit(message.topic, f"{takes.name} refuses it, {reason_of(error)}") from error
    return message if content is message.content else msgspec.structs.replace(message, content=content)


class Retry(msgspec.Struct, frozen=True):
    """How often a message is tried, and when: the n-th retry comes ``first * factor ** (n - 1)`` after the failure, at
    most ``most``, plus or minus a random part of up to ``jitter`` of that, so that many do not come back together.

    ``first`` and ``most`` are durations. Raises `BadOption` for a value that cannot be.
    """

    attempts: int = 5
    """The number of deliveries after which a message is dead-lettered, at least 1."""
    first: Duration = 1.0
    """The wait before the first retry."""
    factor: float = 2.0
    """The factor by which each wait is longer than the one before, at least 1."""
    most: Duration = 300.0
    """The longest wait."""
    jitter: float = 0.25
    """The part of a wait, from 0 to 1, by which it is shorter or longer at random."""

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise BadOption("attempts", self.attempts, "it is how often a message is tried, at least 1")
        if not self.factor >= 1:
            raise BadOption("factor", self.factor, "each wait is so many times the one before, at least 1")
        if not 0 <= self.jitter <= 1:
            raise BadOption("jitter", self.jitter, "it is a part of the wait, from 0 to 1")
        seconds(self.first, "first")
        seconds(self.most, "most")

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait after ``attempt`` (1 for the first) failed; ``chance`` is a random number from 0 to 1."""
        most = seconds(self.most, "most")
        # Compared as exponents first: a float has no room for what many attempts would come to.
        wait = min(most, seconds(self.first, "first") * self.factor ** min(attempt - 1, 64))
        return max(0.0, wait * (1 + self.jitter * (2 * chance - 1)))


class Context(Generic[T]):
    """A delivery, for a handler with an argument that is annotated ``telex.Context``.

    A handler that settles by itself need not: what it returns, or raises, is of no account then. The first settlement
    wins; each method returns whether it did, once the engine has it, and raises `EngineFailed` when it has not. On
    SQLite, inside of the task's own transaction, which it would wait for, each raises `Misuse`. It is of no use
    after the handler has returned.
    """

    __slots__ = ("_delivery", "_settle", "_takes", "group", "settled")

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
        """How it was settled by hand, if it was."""

    @property
    def message(self) -> Message[T]:
        """The message. Raises `ContentError` when its content came from outside and is not what is annotated."""
        message = self._delivery.message
        return message if self._takes is None else shaped(message, self._takes)

    @property
    def attempt(self) -> int:
        """1 when it is tried for the first time."""
        return self._delivery.attempt

    async def ack(self) -> bool:
        """It is done, and will not come again. Returns when that is kept."""
        return await self._once("ack", 0.0, "")

    async def nack(self, delay: Duration = 0.0) -> bool:
        """It is to be tried again after ``delay``."""
        return await self._once("nack", seconds(delay, "delay"), "its handler asked for another try")

    async def reject(self, reason: str = "its handler rejected it") -> bool:
        """It becomes a dead letter, without another try; its copy is published to the dead-letter topic."""
        return await self._once("reject", 0.0, text_of(reason))

    async def extend(self, duration: Duration) -> bool:
        """Keep it for ``duration`` from now. A lease is renewed by itself while the handler runs: this is for handlers
        that block the event loop for longer than a lease."""
        return await self._settle(self._delivery, "extend", seconds(duration, "duration"), "")

    async def _once(self, action: Action, delay: float, reason: str) -> bool:
        if self.settled is not None:
            return False
        settling = self._settle(self._delivery, action, delay, reason)
        self.settled = action  # not before: what is refused is not settled
        return await settling

    def __repr__(self) -> str:
        return f"<Context of {self.message.topic!r} {self.message.seq}, group {self.group!r}, attempt {self.attempt}>"


current: ContextVar[Context[Any] | None] = ContextVar("current", default=None)
"""What the handler that runs now works on, if it asks for that."""
