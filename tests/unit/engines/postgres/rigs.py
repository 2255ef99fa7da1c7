"""Connections of tests to the server, past the engines on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

T = "orders:1"


@asynccontextmanager
async def admin(conninfo: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    """A connection whose statements are committed at once."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        yield connection


async def value(connection: psycopg.AsyncConnection[tuple[Any, ...]], statement: str) -> Any:
    """The first column of the first row; None when there is no row."""
    row = await (await connection.execute(statement.encode())).fetchone()
    return None if row is None else row[0]
