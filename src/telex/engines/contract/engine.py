"""The contract of an engine. An engine opens and closes, hands out the log of a topic, and keeps what has to outlive a
process; all else is above it.

What an engine promises is said by its `Guarantees`, and by nothing else. Two kinds of engine there are:

- one whose logs are lists of this process (`Engine.store` is None): a publisher appends to the `Log` itself;
- one that keeps them elsewhere (`Engine.store` is a `Store`): a publisher hands messages to the store, and once they
  are kept the engine gives them, and those of other processes, to the hub's `EngineEvents`, which appends them to the
  local logs. Cursors, overflow, batches and handlers stand on the local logs and know no engine.

All calls come from the event loop of one hub, and none of them may block it. The conformance suite,
`telex.testing.conformance`, holds an engine to each sentence here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from telex.engines.contract.groups import Groups
from telex.engines.contract.outbox import TransactionOutbox
from telex.engines.contract.records import Records
from telex.engines.contract.store import EngineTransaction, Store
from telex.log.log import Log, Retention

if TYPE_CHECKING:
    from telex.message import Draft, Message


class Guarantees(msgspec.Struct, frozen=True, kw_only=True):
    """The promises of an engine. The conformance suite tests the declared ones; the documentation lists the others."""

    durable: bool
    """An acknowledged message, a settlement, a record survives the end of the process, kill -9 too."""
    shared: bool
    """Other processes see the same topics, groups and records."""
    ordered: bool
    """The messages of one publisher to one topic keep their order, for every reader and in every group without keys
    as the order of first delivery."""
    history: bool
    """Kept messages can be read again."""
    counted_gaps: bool
    """The number of messages that retention took before a reader came to them is known exactly."""
    once_per_id: bool
    """The same id published twice to a topic within two minutes is stored once, whichever process publishes it."""
    groups: bool
    """Consumer groups: leases, settling, redelivery, dead letters, pause, lag."""
    key_order: bool
    """A group works on messages of one key one after the other, in the order of publishing."""
    fenced_settle: bool
    """Of all deliveries of a message to a group, only the last one settles it."""
    backlog_kept: bool
    """Messages that a group has not settled are kept for the group, whatever the retention of their topic."""
    records: bool
    """Records changed by compare-and-set."""
    delayed: bool
    """Messages published for later; with ``durable``, they are kept through a restart."""
    transactions: bool
    """Several messages are published together or not at all."""
    record_transactions: bool
    """Messages and records are written together or not at all."""
    sql: bool
    """A transaction has a connection to the database, for tables of the program."""


class EngineEvents(Protocol):
    """The calls of an engine to its hub. All are made in the hub's event loop, and none of them waits or raises."""

    def wants(self, topic: str) -> bool:
        """Return whether a local log takes the messages of ``topic``: if not, there is no need to decode them."""

    def content(self, data: object, topic: str, type: str | None) -> object:
        """Plain data from outside as this program has it: the declared type of its topic, or the type of that name
        that a handler takes. What does not fit stays plain."""

    def shapes(self, topic: str, types: Iterable[str]) -> bool:
        """Return whether `content` may change data of any of these types: if not, there is no need to call it."""

    def take(self, messages: Sequence[Message[Any]]) -> None:
        """These are kept now: append them to the local logs. Each topic's come in the order of `Message.seq`, each
        once; a number that is left out is a message that retention took before this process could read it."""

    def unreadable(self, topic: str, seq: int, problem: str) -> None:
        """The next message of ``topic``, number ``seq``, is kept, and its content cannot be decoded: the readers of the
        local logs get a `Lost` in its place."""

    def publish(self, draft: Draft) -> Message[Any]:
        """For engines without a store: a delayed message is due, publish it as if its publisher did so now. Returns the
        message; its number is 0 when nothing was published, since its id is known or its topic is closed."""

    def removed(self, topic: str) -> None:
        """The topic was removed, here or by another process. Called before messages of its next epoch are taken."""

    def stirred(self, topic: str | None = None) -> None:
        """Groups that take from ``topic`` (None: all groups) may have something to claim: it was settled, came due,
        was resumed, or was published while no local log took it."""

    def disconnected(self, problem: str) -> None:
        """The engine does not reach its server, and tries to. ``problem`` is the cause and how to fix it. Called
        before `connected` once or more, with the newest cause. During `Engine.open`: the cause of an error if the time
        for opening ends now.

        Calls of the engine wait for the server meanwhile, and raise `EngineFailed` after a time of the engine's own.
        Groups, topics and transactions that were not open go on when it is back.
        """

    def connected(self) -> None:
        """The engine reaches its server again, after `disconnected`. Not called when `Engine.open` has returned:
        then the engine is connected."""

    def failed(self, error: Exception) -> None:
        """The engine can go on no more: the file is corrupt, the disk is gone. Everything that waits ends with it."""


class Engine(Protocol):
    """The contract.

    `open` comes first and once, `close` last and once, also after an `open` that failed or was cancelled.
    """

    guarantees: Guarantees
    """The promises that the engine makes."""
    store: Store | None
    """None where the logs are lists of this process."""
    groups: Groups | None
    """None unless `Guarantees.groups`."""
    records: Records | None
    """None unless `Guarantees.records`."""
    outbox: TransactionOutbox | None
    """None where programs have no database of their own to write to beside the engine's."""

    async def open(self, feed: EngineEvents) -> None:
        """Connect, and tell ``feed`` from now on. Cancelled or failed, it leaves nothing behind.

        Raises `ConnectFailed`, whose text says how to fix it.
        """

    async def close(self) -> None:
        """Release everything, at once: no task, thread, descriptor or lock stays. What was acknowledged stays
        kept."""

    def now(self) -> float:
        """Seconds by a clock that all processes of the engine share and that nobody sets: leases, heartbeats and the
        deadlines of commands are judged by it. It began near the time of day, in seconds since 1970. In the event loop,
        while the engine is open.
        """

    def log(self, topic: str, retention: Retention) -> Log:
        """A new local log for a topic or a pattern.

        For an engine with a store, its end is the end of the topic as the feed knows it, its epoch is the
        topic's, and it keeps at most what a local log needs; before `open` it is empty, and `Store.head` sets it.
        """

    async def later(self, draft: Draft, due: float) -> Message[Any]:
        """Publish ``draft`` at ``due`` (seconds since 1970), at once if that is past. Returns the message when it is
        kept, with its id and the number 0 until it is published.

        With ``durable``, any process that has the engine open then publishes it, once. Raises what publishing raises.
        """

    def transaction(self) -> EngineTransaction:
        """A new transaction, to be entered with ``async with``. Raises `Misuse` unless `Guarantees.transactions`."""
