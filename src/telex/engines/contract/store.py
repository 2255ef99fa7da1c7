"""`Store` and `EngineTransaction`: logs that are stored outside of the process, and writes that commit together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from telex.log.log import Retention

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.contract.groups import Settlement
    from telex.log.start import Start
    from telex.message import Draft, Lost, Message


PAGE = 1024
"""The largest number of messages that are read from a store at once."""


class EnteredTransaction(NamedTuple):
    """An open transaction that the current context has entered."""

    transaction: EngineTransaction
    task: asyncio.Task[Any] | None
    """The task that has entered it; None: all code of this context."""

    def is_own(self) -> bool:
        """Return true when the current task has entered it, so that waiting for its end would never end. In the event
        loop.
        """
        return self.task is None or self.task is asyncio.current_task()


inside: ContextVar[tuple[EnteredTransaction, ...]] = ContextVar("inside", default=())
"""The open transactions of the current context. Engines use it to refuse calls that would wait for such a
transaction.
"""


class Extent(NamedTuple):
    """The numbers and counts of a topic, as far as this process knows: from its own messages, and those that it has
    read or that were delivered.
    """

    first: int
    """The first kept number."""
    end: int
    """The number of the next message."""
    published: int
    """The number of messages that were published."""
    kept: int
    """The number of messages that are kept."""


class FoundStart(NamedTuple):
    """The result of `Store.find`."""

    number: int
    """The number of the first message to read."""
    lost: Lost | None
    """The `Lost` before it."""
    messages: int
    """The number of messages that `Store.read` gives from ``number`` up to but not including the requested end."""


class Holed(list["Message[Any] | Lost"]):
    """A result of `Store.read` that may contain a `Lost`, because some messages cannot be decoded."""


class Store(Protocol):
    """The logs of topics, stored outside of the process. Numbers are those of `Message.seq`: positive, and each larger
    than that of the message before in its topic. They need not follow one another.
    """

    def append(
        self, drafts: Sequence[Draft], due: float | None = None, *, adopt: bool = False
    ) -> Awaitable[Sequence[Message[Any]]]:
        """Number and store drafts, all or none, in this order.

        Return their messages when they are acknowledged: after they were stored as `Guarantees.durable` promises, and
        after `EngineEvents.deliver` was called with those of followed topics. When the id of a draft was published to
        its topic before, the stored message is returned in its place. A cancelled call may have stored the drafts.
        Raises `EngineFailed` when they were not stored.

        With ``due`` (seconds since 1970), only for `Guarantees.delayed`, publish them at that time, or at once if it is
        past. Return their messages when they are stored, with their ids; their numbers are 0 until they are published.
        With ``durable``, any process that has the engine open publishes them, once.

        ``adopt``, only for ``durable`` and ``once_per_id``: the drafts are messages of another system, and all have
        ids. An id that its topic has, however old, or that was adopted before, is not stored again. Return the messages
        that were stored now.
        """

    async def cancel(self, topic: str, id: str) -> bool:
        """Discard a message that waits for its time, only for `Guarantees.delayed`. Return true when no process will
        publish it any more; false when no message of the topic with this id waits.
        """

    def follow(self, name: str) -> None:
        """Deliver new messages of a topic, or of all topics that a pattern matches, to `EngineEvents` from now on:
        those of a topic from the end of a new `Engine.log`. Called when the first local reader of the name begins. It
        does not wait; an engine that has to ask a server delivers what was published meanwhile, too.
        """

    def unfollow(self, name: str) -> None:
        """Deliver no more messages of a name: its last local reader has left. Content of a topic that is not followed,
        by its name or by a pattern, is neither fetched nor decoded.
        """

    async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any] | Lost]:
        """Return the first kept messages of a topic from number ``first`` up to but not including ``end``, in order: at
        most ``limit`` and at most `PAGE`. The result is empty only when there are none. Numbers that retention deleted
        are left out. When content cannot be decoded, the result is `Holed`, with a `Lost` of the reason ``unreadable``
        in that place. For patterns see `read_pattern`.
        """

    async def read_pattern(self, patterns: Sequence[str], count: int) -> Sequence[Message[Any]]:
        """Return the last ``count`` kept messages of all topics that match one of ``patterns``, in the order in which
        they were stored. Messages that cannot be decoded are left out and logged.
        """

    async def find(self, topic: str, start: Start, now: float, end: int = 0) -> FoundStart:
        """Return the first message to read for ``start`` and the `Lost` before it, as `telex.log.start.find` does, and
        how many messages there are up to ``end``. ``now`` is in seconds since 1970.
        """

    def extent(self, topic: str) -> Extent:
        """Return the numbers and counts of a topic. No call of a server is made."""

    async def topics(self) -> list[str]:
        """Return the ids of all topics, also those of other processes."""

    async def remove(self, topic: str) -> bool:
        """Remove a topic with its messages, so that its next epoch begins. Call `EngineEvents.gap` with the reason
        ``epoch``. Return false when there was none.
        """

    async def retain(self, rules: Sequence[tuple[str, Retention]]) -> None:
        """Store retention rules, one for each pattern; they apply in all processes. Of two rules that match a topic,
        the one that was stored last applies. A new rule for a pattern replaces the old one and counts as stored now.
        """


class EngineTransaction(Protocol):
    """Messages, records and settlements that are written together or not at all.

    Left without an error it commits, and returns when the commit is acknowledged. Left with an error it rolls back, and
    no reader has seen any of its writes. While it is open, other publishers may have to wait; the task that has entered
    it gets `Misuse` instead (see `inside`). When entering is cancelled, it does not begin.
    """

    blocks: object
    """The `Groups` that settle nothing in other transactions while this is entered; None where nobody waits for it."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    async def append(self, draft: Draft) -> Message[Any]:
        """Store a message if the transaction commits. The number of the returned message is certain only after the
        commit.
        """

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Write a record if the transaction commits, as `telex.engines.Records.put`. Return None when the revision
        differs. When another writer changes the record before the commit, the commit fails.
        """

    async def settle(self, group: str, pattern: str, settlement: Settlement) -> bool:
        """Settle a delivery if the transaction commits. Return true while its token is the last one; when that changes
        before the commit, the commit fails.
        """
