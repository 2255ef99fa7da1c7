"""`SQLiteRecords`: records in a table of the file."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from telex.engines.contract.records import Record
from telex.errors import TelexError

if TYPE_CHECKING:
    from telex.engines.sqlite.client import FileClient

SWEPT = 2
"""The number of expired records that are deleted for each put of a record that expires: more than are added."""
Asked = list[tuple[str, str, asyncio.Future[Record | None]]]
Found = list[tuple[bytes, int] | None]


class SQLiteRecords:
    """The `telex.engines.Records` of the file. Reads of one turn of the event loop are done together."""

    def __init__(self, client: FileClient) -> None:
        self._client = client
        self._asked: Asked = []

    async def get(self, bucket: str, key: str) -> Record | None:
        """Return a record, or None when there is none."""
        loop = self._client.loop
        if not self._asked:
            loop.call_soon(self._read)
        future: asyncio.Future[Record | None] = loop.create_future()
        self._asked.append((bucket, key, future))
        return await future

    def _read(self) -> None:
        asked, self._asked = self._asked, []
        sql = "SELECT value, revision FROM telex_records WHERE bucket = ? AND key = ?"

        def read(connection: sqlite3.Connection) -> Found:
            execute = connection.execute
            return [execute(sql, (bucket, key)).fetchone() for bucket, key, _ in asked]

        try:
            reading = self._client.reading(read)
        except TelexError as error:
            _fail(asked, error)
        else:
            reading.add_done_callback(partial(_answer, asked))

    async def put(
        self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
    ) -> int | None:
        """Set or delete a record if its revision is still ``revision`` (0: if there is none). Return the revision or
        None.
        """
        return await self._client.write(
            lambda connection, now: put(connection, bucket, key, value, revision, expires, now)
        )

    async def keys(self, bucket: str) -> list[str]:
        """Return all keys of a bucket, sorted."""
        sql = "SELECT key FROM telex_records WHERE bucket = ?"
        found = await self._client.read(lambda connection: connection.execute(sql, (bucket,)).fetchall())
        return sorted(key for (key,) in found)


def put(
    connection: sqlite3.Connection,
    bucket: str,
    key: str,
    value: bytes | None,
    revision: int,
    expires: float | None,
    now: float,
) -> int | None:
    """Set or delete a record, inside of a write transaction. Return the revision or None."""
    if value is None:
        sql = "DELETE FROM telex_records WHERE bucket = ? AND key = ? AND revision = ?"
        return revision if connection.execute(sql, (bucket, key, revision)).rowcount else None
    row = connection.execute(
        "SELECT revision FROM telex_records WHERE bucket = ? AND key = ?", (bucket, key)
    ).fetchone()
    if (0 if row is None else row[0]) != revision:
        return None
    if expires is not None:
        sql = "SELECT bucket, key FROM telex_records WHERE expires <= ? LIMIT ?"
        gone = connection.execute(sql, (now, SWEPT)).fetchall()
        connection.executemany("DELETE FROM telex_records WHERE bucket = ? AND key = ?", gone)
    sql = "UPDATE telex_state SET revision = revision + 1 RETURNING revision"
    (number,) = connection.execute(sql).fetchone()
    sql = "INSERT OR REPLACE INTO telex_records VALUES (?, ?, ?, ?, ?)"
    connection.execute(sql, (bucket, key, value, number, expires))
    return int(number)


def _answer(asked: Asked, reading: asyncio.Future[Found]) -> None:
    error = reading.exception()
    if error is not None:
        _fail(asked, error)
        return
    for (_, _, future), row in zip(asked, reading.result(), strict=True):
        if not future.done():
            future.set_result(None if row is None else Record(*row))


def _fail(asked: Asked, error: BaseException) -> None:
    for _, _, future in asked:
        if not future.done():
            future.set_exception(error)
