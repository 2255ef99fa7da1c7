"""Transactions and connections of tests on the server, beside the engines on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from typing import Any

import psycopg

T = "orders:1"
_APPEND = """SELECT o_outcome, o_topics, o_epochs, o_known, o_known_seq FROM append(
    NULL, 0, false, ARRAY[%s], array_fill(1::bigint, ARRAY[%s]), %s::float8[], array_fill(10::bigint, ARRAY[%s]),
    array_fill('int'::text, ARRAY[%s]), %s::text[], NULL, %s::text[], NULL, %s::text[], NULL, NULL,
    CASE WHEN %s::text[] IS NOT NULL THEN ARRAY[''] END)"""


@asynccontextmanager
async def admin(conninfo: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    """A connection whose statements are committed at once."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        yield connection


async def value(connection: psycopg.AsyncConnection[tuple[Any, ...]], statement: str) -> Any:
    """The first column of the first row; None when there is no row."""
    row = await (await connection.execute(statement.encode())).fetchone()
    return None if row is None else row[0]


class Sql:
    """A transaction in which a test calls functions of the schema. Every message counts for 10 bytes."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *parameters: object) -> Any:
        """The only value."""
        ((found,),) = self.rows(statement, *parameters)
        return found

    def append(
        self, topic: str, *contents: int, key: str | None = None, ids: list[str] | None = None, ago: float = 0.0
    ) -> tuple[Any, ...]:
        """Store numbers as if it were so long ago, and return the row of ``append``."""
        count = len(contents)
        times, texts, keys = [time() - ago] * count, [str(each) for each in contents], [key] * count
        (row,) = self.rows(_APPEND, topic, count, times, count, count, keys, texts, ids, ids)
        return row

    def contents(self, topic: str, first: int = 1) -> list[int]:
        """The contents that readers are shown."""
        rows = self.rows("SELECT o_content FROM read_page(%s, %s, 1 << 60, %s)", topic, first, time())
        return [int(content) for (content,) in rows]

    def join(self, group: str, pattern: str, start: str = "earliest", fits: str | None = None) -> None:
        self.rows("SELECT join_group(%s, %s, %s, %s, 0, NULL, %s)", group, pattern, fits, start, time())

    def claim(self, group: str, pattern: str, limit: int = 100, lease: float = 30.0) -> list["Claim"]:
        _, *rows = self.rows("SELECT * FROM claim(%s, %s, %s, %s, 'me')", group, pattern, limit, lease)
        return [Claim(int(row[8]), row[10], row[11], row[12]) for row in rows]

    def fetched(self, group: str, pattern: str, limit: int = 100) -> list[int]:
        """The contents that a claim leases."""
        return [claim.content for claim in self.claim(group, pattern, limit)]

    def pass_time(self, seconds: float) -> None:
        """Let leases and delays end so much earlier."""
        self.rows("UPDATE claims SET due = due - %s WHERE due > 1", seconds)

    def settle(
        self, group: str, pattern: str, claim: "Claim", action: int = 0, seconds: float = 0.0, reason: str = ""
    ) -> tuple[bool, bool]:
        """Settle by ack (0), nack (1), reject (2) or extend (3): true when it won, true when there is more to claim."""
        call = "SELECT o_won[1], o_stirs FROM settle(%s, %s, ARRAY[%s], ARRAY[%s], ARRAY[%s], ARRAY[%s], ARRAY[%s])"
        casts = call.replace("ARRAY[%s]", "ARRAY[%s]::bigint[]", 3).replace("ARRAY[%s],", "ARRAY[%s]::float8[],", 1)
        ((won, stirs),) = self.rows(casts, group, pattern, claim.place, claim.token, action, seconds, reason)
        return won, stirs


class Claim:
    """A leased message."""

    def __init__(self, content: int, place: int, attempt: int, token: int) -> None:
        self.content, self.place, self.attempt, self.token = content, place, attempt, token
