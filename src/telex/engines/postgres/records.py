"""`ServerRecords`: records in a table of the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telex.engines.contract.records import Record
from telex.engines.postgres.record_sql import DELETE, GET, KEYS, with_parameters

if TYPE_CHECKING:
    from telex.engines.postgres.link import ServerLink


def put_statement(schema: str) -> bytes:
    """Return the statement that sets a record by bucket, key, value, revision and expiry."""
    return f"SELECT {schema}.put_record(%s, %s, %s::bytea, %s::bigint, %s::float8)".encode()


class ServerRecords:
    """The `telex.engines.Records` of the schema."""

    def __init__(self, link: ServerLink) -> None:
        self._link = link
        table = f"{link.address.quoted}.records"
        self._get = with_parameters(GET, table)
        self._put = put_statement(link.address.quoted)
        self._delete = with_parameters(DELETE, table)
        self._keys = with_parameters(KEYS, table)

    async def get(self, bucket: str, key: str) -> Record | None:
        """Return a record, or None when there is none."""
        rows = await self._link.execute("reading a record", self._get, bucket, key)
        return Record(*rows[0]) if rows else None

    async def put(
        self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
    ) -> int | None:
        """Set or delete a record if its revision is still ``revision`` (0: if there is none). Return the revision or
        None.
        """
        if value is None:
            what, own = "deleting a record", (bucket, key, revision)
            return revision if await self._link.execute(what, self._delete, *own, repeat=False) else None
        parameters = (bucket, key, value, revision, expires)
        ((number,),) = await self._link.execute("putting a record", self._put, *parameters, repeat=False)
        return None if number is None else int(number)

    async def keys(self, bucket: str) -> list[str]:
        """Return all keys of a bucket, sorted."""
        return [key for (key,) in await self._link.execute("listing records", self._keys, bucket)]
