"""A summary of the topics of a schema, for ``telex topics``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING

from psycopg import Error

from telex.engines.postgres import migrations, problems
from telex.engines.postgres.address import ServerAddress, parse
from telex.engines.postgres.connections import connect
from telex.engines.summary import TopicSummary
from telex.errors import ConnectFailed

if TYPE_CHECKING:
    from telex.engines.postgres.connections import ServerConnection

_SUMMARIES = """SELECT t.name, v.o_end - v.o_first, v.o_total - v.o_gone, m.time
    FROM {s}.topics t CROSS JOIN LATERAL {s}.visible(t.name, %s::float8) v
    LEFT JOIN LATERAL (
        SELECT x.time FROM {s}.messages x WHERE x.topic = t.id AND x.seq = v.o_end - 1 AND v.o_end > v.o_first LIMIT 1
    ) m ON true
    ORDER BY t.name"""


async def summaries(url: str) -> list[TopicSummary]:
    """Return all topics of the schema of a URL, sorted by name. It changes nothing.

    Raises `ConnectFailed`.
    """
    address = parse(url)
    async with _opened(address) as connection:
        statement = _SUMMARIES.replace("{s}", address.quoted).encode()
        rows = await (await connection.execute(statement, (time(),))).fetchall()
    return [
        TopicSummary(name, count, size if count else 0, None if last is None else datetime.fromtimestamp(last, UTC))
        for name, count, size, last in rows
    ]


async def check_schema(url: str) -> None:
    """Raise `ConnectFailed` when the database of a URL cannot be read, or has no schema of telex."""
    async with _opened(parse(url)):
        pass


@asynccontextmanager
async def _opened(address: ServerAddress) -> AsyncIterator[ServerConnection]:
    try:
        async with await connect(address) as connection:
            version = await migrations.version_of(connection, address)
            if version == 0:
                problem = f"it has no schema {address.schema} of telex; give the right one, ?schema=NAME"
                raise ConnectFailed(address.shown, f"{problem}, or make it: telex migrate URL")
            yield connection
    except ConnectFailed:  # it is an OSError, too
        raise
    except (Error, OSError) as error:
        raise ConnectFailed(address.shown, problems.explain(error)) from None
