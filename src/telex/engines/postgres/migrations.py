"""The versions of the schema: creating, migrating and checking it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import errors

from telex.engines.postgres.appending import APPENDING
from telex.engines.postgres.claiming import CLAIMING
from telex.engines.postgres.reading import READING
from telex.engines.postgres.record_sql import RECORDS
from telex.engines.postgres.settling import SETTLING
from telex.engines.postgres.tables import TABLES

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from telex.engines.postgres.address import ServerAddress

MIGRATIONS: tuple[str, ...] = (TABLES + RECORDS + SETTLING + READING + APPENDING + CLAIMING,)
"""Migration n turns a schema of version n into one of version n + 1. A released migration is never changed."""
VERSION = len(MIGRATIONS)
_LOCK = "SELECT pg_advisory_xact_lock(1952804984, hashtext('{schema}'));"
_NO_SCAN = "SET enable_seqscan = off SET jit = off"
"""For functions that look up a few rows by an index. PostgreSQL plans them once, perhaps for a small table, and would
scan the whole table when it has grown.
"""
_BY_INDEX = f"""{_NO_SCAN} SET enable_bitmapscan = off SET enable_sort = off
    SET enable_hashjoin = off SET enable_mergejoin = off"""
"""For functions that read the next rows in the order of an index. PostgreSQL would plan them for an average topic."""
_GRANTS = """GRANT USAGE ON SCHEMA {s} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {s} TO {role};
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA {s} TO {role};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {s} TO {role};
"""


class WrongSchema(Exception):
    """The schema cannot be used; the text tells why and how to fix it."""


def script(address: ServerAddress, version: int = 0, role: str | None = None) -> str:
    """Return the SQL that brings a schema of ``version`` to this version, in one transaction, and lets ``role`` use it.

    Version 0 stands for no schema at all.
    """
    steps = [_LOCK, *(["CREATE SCHEMA IF NOT EXISTS {s};"] if version == 0 else []), *MIGRATIONS[version:]]
    steps.append(f"UPDATE {{s}}.version SET version = {VERSION};")
    text = "\n".join(steps).replace("{schema}", address.schema).replace("{channel}", address.channel)
    text = text.replace("{s}", address.quoted).replace("{by_index}", _BY_INDEX).replace("{no_scan}", _NO_SCAN)
    if role is not None:
        text = f"{text}\n{grants(address, role)}"
    return f"BEGIN;\nSET LOCAL check_function_bodies = off;\n{text}\nCOMMIT;\n"


def grants(address: ServerAddress, role: str) -> str:
    """Return the SQL that lets a role use the schema."""
    quoted = '"' + role.replace('"', '""') + '"'
    return _GRANTS.replace("{s}", address.quoted).replace("{role}", quoted)


async def version_of(connection: AsyncConnection[Any], address: ServerAddress) -> int:
    """Return the version of the schema, 0 when there is none."""
    found = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{address.quoted}.version",))
    row = await found.fetchone()
    if row is None or not row[0]:
        return 0
    found = await connection.execute(f"SELECT version FROM {address.quoted}.version".encode())
    row = await found.fetchone()
    return 0 if row is None else int(row[0])


async def prepare(connection: AsyncConnection[Any], address: ServerAddress) -> None:
    """Create the schema, or migrate it to this version. Raises `WrongSchema` when that is impossible."""
    version = await version_of(connection, address)
    if version > VERSION:
        raise WrongSchema(f"a newer telex made it (version {version}, this one knows {VERSION}); update telex")
    if version == VERSION:
        return
    try:
        await connection.execute(script(address, version).encode(), prepare=False)
    except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
        await connection.execute(b"ROLLBACK")
        raise WrongSchema(
            f"the role {connection.info.user!r} may not make its tables ({error.diag.message_primary}); as a role that "
            f"may, run the SQL that `telex migrate URL --sql --role {connection.info.user}` prints"
        ) from None
    except (errors.DuplicateTable, errors.DuplicateObject, errors.UniqueViolation, errors.DuplicateFunction):
        await connection.execute(b"ROLLBACK")
        if await version_of(connection, address) != VERSION:  # otherwise another process was first
            raise WrongSchema(
                f"the schema {address.schema} has tables of another program with telex's names; give telex a schema "
                "of its own: ?schema=NAME"
            ) from None
