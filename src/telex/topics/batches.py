"""`Batches`: the iterator of `Subscription.batches`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from telex.checks import whole
from telex.errors import Misuse
from telex.log.cursor import Cursor
from telex.log.state import EMPTY, State
from telex.message import Message, Position
from telex.names import is_pattern
from telex.process.waiters import Waiter

if TYPE_CHECKING:
    from typing import Self

Item = TypeVar("Item", covariant=True)


class Batches(Generic[Item]):
    """An iterator over batches. It is not a generator, so that leaving a loop needs no cleanup."""

    __slots__ = ("_cursor", "_limit", "_topic", "_wait", "_waiter")

    def __init__(
        self, cursor: Cursor, limit: int, wait: Callable[[Cursor, State], Awaitable[Cursor]], topic: str
    ) -> None:
        """Make an iterator. ``wait`` waits when no batch is ready, and returns the cursor to continue with. It raises
        `StopAsyncIteration` at the end.
        """
        self._cursor = cursor
        self._limit = limit
        self._wait = wait
        self._topic = topic
        self._waiter = Waiter(asyncio.get_running_loop())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Item, ...]:
        cursor, waiter = self._cursor, self._waiter
        while True:
            batch: Any = cursor.take_many(self._limit)  # the kernel has no type Item
            if batch.__class__ is not State:
                return batch  # type: ignore[no-any-return]
            if waiter.taken:
                fix = "another task iterates them; call batches() once for each"
                raise Misuse(f"iterate over these batches of {self._topic!r}", fix)
            if batch is not EMPTY:
                self._cursor = cursor = await self._wait(cursor, batch)
                continue
            # the same as `park`, without another coroutine
            cursor.log.observer.waiters[waiter] = None
            try:
                await waiter
            except BaseException:
                cursor.log.observer.waiters.pop(waiter, None)
                raise


def chain_of(cursor: Cursor) -> Iterator[Cursor]:
    """Iterate over a cursor and its successors in later epochs of the topic."""
    each: Cursor | None = cursor
    while each is not None:
        yield each
        each = each.successor


def check_limit(limit: object) -> None:
    """Raise `BadOption` unless ``limit`` is a number of messages, at least 1."""
    whole(limit, "limit", "it must be at least 1, the largest number of messages to take")


def position_before(message: Message[Any], topic: str, after: Position, left: int) -> Position:
    """Return the position before ``message`` for a subscription to ``topic``. ``message`` was received ``left``
    messages before the subscription's position ``after``, without a hole between them; 1 is the last message.
    """
    # Only the numbers of a pattern, which are those of this process, follow one another.
    return Position(after.seq - left if is_pattern(topic) else message.seq - 1, after.epoch)
