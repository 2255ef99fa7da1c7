"""``sqlite:///file.db``: topics, groups and records in one file, for all processes of a machine.

With ``synchronous=full``, the default, an acknowledged message survives kill -9 and the loss of power. With
``?synchronous=normal`` it survives kill -9; a loss of power may take the last commits, in order. Writes that wait while
the disk is busy are committed together, so more publishers need fewer commits.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import randbits, token_hex
from typing import TYPE_CHECKING

from telex.engines.sqlite.address import FileAddress, parse
from telex.engines.sqlite.change_reader import ChangeReader
from telex.engines.sqlite.client import FileClient
from telex.engines.sqlite.delayed import Delayed
from telex.engines.sqlite.groups import SQLiteGroups
from telex.engines.sqlite.outbox import FileOutbox
from telex.engines.sqlite.records import SQLiteRecords
from telex.engines.sqlite.store import SQLiteStore
from telex.engines.sqlite.transaction import SQLiteTransaction
from telex.log.log import Log, Retention
from telex.names import is_pattern

if TYPE_CHECKING:
    from telex.engines.contract import (
        Decoder,
        EngineEvents,
        EngineTransaction,
        Groups,
        Guarantees,
        Records,
        Store,
        TransactionOutbox,
    )
    from telex.message import Draft


class SQLiteEngine:
    """The engine of one machine. Implements `Engine`."""

    guarantees: Guarantees

    def __init__(self, address: FileAddress) -> None:
        from telex.engines.contract import Guarantees

        self.guarantees = Guarantees(
            durable=True,
            shared=True,
            ordered=True,
            history=True,
            counted_gaps=True,
            once_per_id=True,
            groups=True,
            key_order=True,
            fenced_settle=True,
            backlog_kept=True,
            records=True,
            delayed=True,
            transactions=True,
            record_transactions=True,
            sql=True,
        )
        self._client = FileClient(address)
        self._delayed = Delayed(self._client)
        changes = ChangeReader(self._client, self._delayed)
        self._client.changes = changes
        self._logs = SQLiteStore(self._client, changes, self._delayed)
        self.store: Store | None = self._logs
        self.outbox: TransactionOutbox | None = FileOutbox()
        self.groups: Groups | None = SQLiteGroups(self._client)
        self.records: Records | None = SQLiteRecords(self._client)

    @classmethod
    def from_url(cls, url: str) -> SQLiteEngine:
        """Return the engine of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``. Raises `BadOption`."""
        return cls(parse(url))

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Open the file; create it if it does not exist. Raises `ConnectFailed`, whose text tells how to fix the
        problem.
        """
        await self._client.open(events, decoder)

    async def close(self) -> None:
        """Commit the waiting messages, and end the threads."""
        self._delayed.close()
        await self._client.close()

    def now(self) -> float:
        """Return the time of the file's clock."""
        return self._client.clock.now()

    def log(self, topic: str, retention: Retention) -> Log:
        """Return a new local log."""
        if is_pattern(topic):
            return Log(topic, token_hex(6), retention, randbits(74))
        return self._logs.log(topic, retention)

    def transaction(self, publish: Callable[[Draft], object]) -> EngineTransaction:
        """Return a transaction of the file."""
        return SQLiteTransaction(self._client, self._client.address.bounds.transaction_seconds, self.groups)
