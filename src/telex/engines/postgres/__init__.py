"""``postgresql://user@host/database``: topics, groups and records in a PostgreSQL database, for many machines.

A message is acknowledged when its transaction is committed, with the durability of the server's `synchronous_commit`.
Messages that are published while a commit is in flight are committed together in the next one, so more publishers need
fewer commits.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import randbits, token_hex
from typing import TYPE_CHECKING

from telex.engines.contract.guarantees import Guarantees
from telex.engines.postgres.address import ServerAddress, parse
from telex.engines.postgres.client import ServerClient
from telex.engines.postgres.groups import ServerGroups
from telex.engines.postgres.outbox import ServerOutbox
from telex.engines.postgres.records import ServerRecords
from telex.engines.postgres.transaction import ServerTransaction
from telex.log.log import Log, Retention
from telex.names import is_pattern

if TYPE_CHECKING:
    from telex.engines.contract import (
        Decoder,
        EngineEvents,
        EngineTransaction,
        Groups,
        Records,
        Store,
        TransactionOutbox,
    )
    from telex.message import Draft


class PostgresEngine:
    """The engine of a PostgreSQL server. Implements `Engine`."""

    guarantees: Guarantees

    def __init__(self, address: ServerAddress) -> None:
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
        self.client: ServerClient = ServerClient(address)
        self.store: Store | None = self.client.store
        self.outbox: TransactionOutbox | None = ServerOutbox(address)
        self.groups: Groups | None = ServerGroups(self.client.link)
        self.records: Records | None = ServerRecords(self.client.link)

    @classmethod
    def from_url(cls, url: str) -> PostgresEngine:
        """Return the engine of ``postgresql://user@host/database?schema=telex``. Raises `BadOption`."""
        return cls(parse(url))

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Connect; create the schema if there is none. Raises `ConnectFailed`, whose text tells how to fix the
        problem.
        """
        await self.client.open(events, decoder)

    async def close(self) -> None:
        """Store waiting messages, and close the connections."""
        await self.client.close()

    def now(self) -> float:
        """Return the time by the server's clock, in seconds since 1970."""
        return self.client.link.clock.now()

    def log(self, topic: str, retention: Retention) -> Log:
        """Return a new local log."""
        if is_pattern(topic):
            return Log(topic, token_hex(6), retention, randbits(74))
        return self.client.store.log(topic, retention)

    def transaction(self, publish: Callable[[Draft], object]) -> EngineTransaction:
        """Return a transaction of the database."""
        return ServerTransaction(self.client.link, self.client.live)
