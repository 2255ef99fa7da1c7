"""`ServerOutbox`: messages that a program writes into the database with a connection of its own.

The outbox is the table of delayed messages. Rows that are due at once have the time 0, so that their order is that of
writing. A notification, which PostgreSQL sends when the program commits, has an open engine look at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from telex.engines.postgres.writer import form_of

if TYPE_CHECKING:
    from telex.engines.contract.outbox import Statement
    from telex.engines.postgres.address import ServerAddress
    from telex.message import Draft

_WRITE = """INSERT INTO {schema}.delayed (due, topic, id, type, key, headers, content, data, size, grp)
    VALUES ({due}, {topic}, {id}, {type}, {key}, {headers}, {content}, {data}, {size}, {group})
    ON CONFLICT (topic, id) DO NOTHING"""


class ServerOutbox:
    """The `telex.engines.contract.outbox.TransactionOutbox` of a schema."""

    def __init__(self, address: ServerAddress) -> None:
        self._write = _WRITE.replace("{schema}", address.quoted)
        self._notify = f"SELECT pg_notify('{address.channel}', 'd')"

    def write(self, draft: Draft, due: float | None, group: str | None = None) -> Sequence[Statement]:
        """Return the statements that write a draft, which has an id."""
        type_, key, headers, content, size = form_of(draft)
        is_bytes = isinstance(content, bytes)
        values: dict[str, object] = {"due": 0.0 if due is None else due, "topic": draft.topic, "id": draft.id}
        values |= {"type": type_, "key": key, "headers": headers, "size": size, "group": group}
        values |= {"content": None if is_bytes else content, "data": content if is_bytes else None}
        return (self._write, values), (self._notify, {})
