"""`Store`: logs that are kept outside of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from telex.log.log import Log, Retention

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.contract.groups import Settlement
    from telex.log.start import Start
    from telex.message import Draft, Lost, Message

R = TypeVar("R")


class EnteredTransaction(NamedTuple):
    """A transaction that the code which runs now, or what started it, is inside of."""

    transaction: object
    task: asyncio.Task[Any] | None
    """Of this task; None: of all that runs in this context."""

    def is_own(self) -> bool:
        """Return whether this very task has entered it, and so keeps it open while it waits. In the event loop."""
        return self.task is None or self.task is asyncio.current_task()


inside: ContextVar[tuple[EnteredTransaction, ...]] = ContextVar("inside", default=())
"""By this an engine knows who would wait for a transaction of its own."""


class Holed(list["Message[Any] | Lost"]):
    """The result of `Store.read` where some messages cannot be read: only this list may have a `Lost`."""


class Store(Protocol):
    """Logs that are kept outside of the process. Numbers are those of `Message.seq`, counted from 1 in each topic."""

    def append(self, drafts: Sequence[Draft]) -> Awaitable[Sequence[Message[Any]]]:
        """Number and keep drafts, all or none, in this order.

        Returns their messages when they are acknowledged: when they are kept as `Guarantees.durable` says, and after
        the feed was given them. Where an id was published to its topic before, the message that is kept stands in the
        place of the new one. Cancelled, it may have kept them. Raises `EngineFailed` when it did not keep them.
        """

    async def adopt(self, drafts: Sequence[Draft]) -> Sequence[Message[Any]]:
        """Keep messages from elsewhere as `append` does. All drafts have ids: an id that its topic has already, however
        old, or that was adopted before, is not stored again. Returns the messages that were stored now.
        """

    async def read(self, topic: str, first: int, end: int) -> Sequence[Message[Any] | Lost]:
        """The kept messages of a topic from number ``first`` up to, not with, ``end``, in order: at most 1024 of them,
        none when none is left. Numbers that retention took are left out; a `Lost` with the reason ``unreadable`` stands
        in the place of those whose content cannot be decoded, and then what is returned is `Holed`. For a pattern there
        are no numbers: see `read_pattern`.
        """

    async def read_pattern(self, topics: Sequence[str], count: int) -> Sequence[Message[Any]]:
        """The last ``count`` kept messages of several topics together, in the order of their being kept. Those whose
        content cannot be decoded are left out and logged."""

    async def find(self, topic: str, start: Start, now: float) -> tuple[int, Lost | None]:
        """The number of the first message to read for ``start``, as `telex.log.start.find` does it; ``now`` is seconds
        since 1970."""

    def head(self, log: Log) -> None:
        """Set the end, base, epoch and uid of a local log that nothing was appended to yet."""

    def end(self, topic: str) -> tuple[int, int]:
        """The first number that is kept and the number that the next message will get, by what is known here."""

    def topics(self) -> list[str]:
        """The ids of all topics, those of other processes too, by what is known here."""

    async def remove(self, topic: str) -> bool:
        """Remove a topic with its messages: it counts in another epoch. Tells the events that it was `removed`. Returns
        whether there was one.
        """

    async def retain(self, rules: Sequence[tuple[str, Retention]]) -> None:
        """Set how much the topics of each pattern keep. The rules are stored and hold for all processes; of two that
        fit a topic the one that was set last holds. Setting a pattern's rule again replaces it."""


class EngineTransaction(Protocol):
    """Messages that are published together or not at all, with what else is written where they are kept.

    Left without an error it commits, and returns when that is acknowledged; left with one it rolls back, and nothing of
    it was ever seen by anybody. While it is entered, other publishers may have to wait for it: the task that has
    entered it gets `Misuse` at once for that (see `inside`). Cancelled while it is entered, it does not begin.
    """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    async def append(self, draft: Draft) -> Message[Any]:
        """Keep a message when, and if, this commits. The number of the returned message is certain only then."""

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """`telex.engines.Records.put`, when, and if, this commits. None: the revision is another, and nothing is put.
        Where others can change the record meanwhile, and do, the commit fails."""

    async def settle(self, group: str, pattern: str, settlement: Settlement, now: float) -> bool:
        """Settle a delivery when, and if, this commits; whether its token is still the last. Where that changes before
        the commit, the commit fails. ``now`` is `Engine.now`."""

    async def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function`` with the engine's own connection (SQLite: a `sqlite3.Connection`), in the thread that it
        belongs to, inside the transaction. Raises what it raises; `Misuse` for engines without a connection."""

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement in the transaction; the rows that it returns."""
