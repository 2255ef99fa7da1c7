"""`Records` in a table."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from telex.engines.records import Record

if TYPE_CHECKING:
    from telex.engines.sqlite.runtime import Runtime


class SQLiteRecords:
    """See `telex.engines.Records`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def get(self, bucket: str, key: str) -> Record | None:
        """The record, or None."""
        sql = "SELECT value, revision FROM telex_records WHERE bucket = ? AND key = ?"
        row = await self._runtime.read(lambda connection: connection.execute(sql, (bucket, key)).fetchone())
        return None if row is None else Record(*row)

    async def put(self, bucket: str, key: str, value: bytes, revision: int) -> int | None:
        """Set it if its revision is still ``revision`` (0: if there is none)."""

        def put(connection: sqlite3.Connection, now: float) -> int | None:
            if _revision(connection, bucket, key) != revision:
                return None
            row = connection.execute("UPDATE telex_state SET revision = revision + 1 RETURNING revision").fetchone()
            connection.execute("INSERT OR REPLACE INTO telex_records VALUES (?, ?, ?, ?)", (bucket, key, value, *row))
            return int(row[0])

        return await self._runtime.write(put)

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        """Delete it if its revision is still ``revision``; whether it was."""

        def delete(connection: sqlite3.Connection, now: float) -> bool:
            sql = "DELETE FROM telex_records WHERE bucket = ? AND key = ? AND revision = ?"
            return connection.execute(sql, (bucket, key, revision)).rowcount > 0

        return await self._runtime.write(delete)

    async def keys(self, bucket: str) -> list[str]:
        """All keys of a bucket, sorted."""
        sql = "SELECT key FROM telex_records WHERE bucket = ?"
        found = await self._runtime.read(lambda connection: connection.execute(sql, (bucket,)).fetchall())
        return sorted(key for (key,) in found)


def _revision(connection: sqlite3.Connection, bucket: str, key: str) -> int:
    sql = "SELECT revision FROM telex_records WHERE bucket = ? AND key = ?"
    row = connection.execute(sql, (bucket, key)).fetchone()
    return 0 if row is None else int(row[0])
