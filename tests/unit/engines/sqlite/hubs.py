"""Hubs on a file, for tests of what becomes of it."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines.sqlite import SQLiteEngine
from tests.support.internals import bounded


def at(path: Path, options: str = "") -> str:
    return f"sqlite:///{path}{options}"


async def told(url: str) -> str:
    """What opening a hub there says."""
    with pytest.raises(telex.ConnectFailed) as caught:
        async with telex.Hub(url):
            pass
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


@asynccontextmanager
async def hub_on(path: Path, options: str = "", **bounds: float) -> AsyncIterator[tuple[telex.Hub, SQLiteEngine]]:
    engine = bounded(at(path, options), **bounds)
    async with telex.Hub(engine) as hub:
        yield hub, engine


async def contents_of(hub: telex.Hub, topic: str = "t") -> list[Any]:
    return [message.content async for message in hub.topic(topic).history()]


def checkpoint(path: Path) -> None:
    """Write the WAL of a closed file into the file. Connections that close at the same time may leave it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
