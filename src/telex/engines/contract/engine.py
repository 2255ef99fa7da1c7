"""The contract of an engine: it opens and closes, makes the log of a topic, and stores messages, groups and records.

An engine declares its promises in its `Guarantees`. There are two kinds of engines:

- The logs of an engine in memory are lists of this process. `Engine.store` is None, and a publisher appends to the
  `Log`; the hub keeps delayed messages.
- Other engines store messages outside of the process. `Engine.store` is a `Store`: a publisher passes drafts to the
  store. When the messages are stored, the engine calls `EngineEvents.deliver` with them and with the messages of other
  processes, and the hub appends them to its local logs.

Cursors, overflow policies, batches and handlers work on the local logs, the same way for every engine. All calls come
from the event loop of one hub, and none may block it. The conformance suite, `telex.testing.conformance`, tests each
sentence of this contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from telex.engines.contract.groups import Groups
from telex.engines.contract.guarantees import Guarantees
from telex.engines.contract.outbox import TransactionOutbox
from telex.engines.contract.records import Records
from telex.engines.contract.store import EngineTransaction, Store
from telex.log.log import Log, Retention

if TYPE_CHECKING:
    from telex.message import Draft, Message, Reason


class Decoder(Protocol):
    """A helper for engines that store content as plain data. Neither method waits, and only `decode` raises."""

    def decode(self, data: object, topic: str, type: str | None) -> object:
        """Return plain data converted to the declared type of its topic, or to the type named ``type`` that a handler
        takes. Data that does not fit stays plain.

        ``data`` is `telex.codec.encoded.Encoded` when the message's `Draft.encoded` was stored. Raises `ContentError`
        when it cannot be decoded here: the message is unreadable.
        """

    def decodes(self, topic: str, types: Iterable[str]) -> bool:
        """Return true when `decode` may convert data of any of these types. Otherwise the engine need not call it,
        except for `Encoded` data.
        """


class EngineEvents(Protocol):
    """The calls of an engine to its hub. The engine makes them in the hub's event loop; none of them waits or
    raises.
    """

    def deliver(self, messages: Sequence[Message[Any]]) -> None:
        """Append stored messages of followed topics to the local logs. Each comes once, and those of a topic in the
        order of `Message.seq`. Missing messages are announced by `gap`.
        """

    def gap(self, topic: str, count: int | None, reason: Reason) -> None:
        """Skip the next ``count`` messages of a followed topic, which are not delivered; None: at least one, and their
        number is unknown. ``count`` counts messages, not numbers: the numbers of a topic may have holes. Readers of the
        local logs get a `Lost` in their place. With the reason ``trimmed``, retention deleted them before this process
        could read them; with ``unreadable``, their content cannot be decoded, and the engine has logged it.

        With the reason ``epoch`` and the count None, the topic was removed, here or by another process: its next epoch
        begins. The engine makes this call for every topic, also one that is not followed, before messages of that epoch
        are delivered.
        """

    def disconnected(self, problem: str) -> None:
        """Note that the engine has lost its server, and tries to connect. ``problem`` is the cause and how to fix it.
        Called once or more before `connected`, with the newest cause. During `Engine.open`, ``problem`` is the text of
        the error if the time for opening ends.

        Calls of the engine wait for the server in the meantime, and raise `EngineFailed` after a time that the engine
        chooses. Groups, topics and transactions that were not open continue when the server is back.
        """

    def connected(self) -> None:
        """Note that the engine has reached its server again, after `disconnected`. When `Engine.open` returns, the
        engine is connected without this call.
        """

    def failed(self, error: Exception) -> None:
        """Fail the hub: the engine cannot continue, since the file is corrupt or the disk is gone. Every waiting
        operation raises.
        """


class Engine(Protocol):
    """The protocol of an engine.

    `open` is called first and once. `close` is called last and once, also after an `open` that failed or was cancelled.
    """

    guarantees: Guarantees
    """The promises that the engine makes."""
    store: Store | None
    """The store of an engine that stores messages outside of the process; None when logs are lists of this process."""
    groups: Groups | None
    """The consumer groups; None unless `Guarantees.groups`."""
    records: Records | None
    """The records; None unless `Guarantees.records`."""
    outbox: TransactionOutbox | None
    """The outbox for `telex.Hub.join`; None when programs cannot write to the engine's database with a connection of
    their own.
    """

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Connect, and call ``events``, the events of the hub, from now on. ``decoder`` converts stored content. When
        it fails or is cancelled, it leaves nothing behind.

        Raises `ConnectFailed`, whose text tells how to fix the problem.
        """

    async def close(self) -> None:
        """Release everything at once: no task, thread, descriptor or lock stays. Acknowledged messages stay stored."""

    def now(self) -> float:
        """Return the seconds of a clock that all processes of the engine share and that nobody sets. It started near
        the time of day, in seconds since 1970. Leases, heartbeats and deadlines of commands use this clock. Call it in
        the event loop while the engine is open.
        """

    def log(self, topic: str, retention: Retention) -> Log:
        """Return a new local log for a topic or a pattern.

        An engine with a store returns ``Log(..., remote=True)``: the process's copy of the last stored messages. Its
        end is the number after the last message that was passed to `EngineEvents.deliver`, or would have been if the
        topic were followed. Its epoch is the epoch of the topic, and its retention keeps only what a local log needs.
        Before `open` both are unknown.
        """

    def transaction(self, publish: Callable[[Draft], object]) -> EngineTransaction:
        """Return a new transaction, to enter with ``async with``. ``publish`` publishes a message at the commit: only
        an engine without a store calls it. Raises `Misuse` unless `Guarantees.transactions`.
        """
