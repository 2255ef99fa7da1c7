"""Each failure of SQLite says what to do about it."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

import telex
from telex.engines.sqlite import problems
from telex.engines.sqlite.upkeep import check
from tests.support.internals import client_of
from tests.unit.engines.sqlite.hubs import checkpoint, contents_of, hub_on


@pytest.mark.slow
async def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with hub_on(path) as (hub, _):
        for number in range(200):
            await hub.topic("t").publish(f"{number} " + "x" * 500)
    checkpoint(path)
    data = bytearray(path.read_bytes())
    data[4096:40960] = os.urandom(40960 - 4096)
    path.write_bytes(data)
    with pytest.raises((telex.ConnectFailed, telex.EngineFailed), match="telex check"):
        async with hub_on(path) as (hub, _):
            await contents_of(hub)
    assert await asyncio.to_thread(check, path)


async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    async with hub_on(tmp_path / "x.db") as (hub, engine):
        topic = hub.topic("t")
        await topic.publish("before")
        write = client_of(engine).write
        (pages,) = await write(lambda connection, _: connection.execute("PRAGMA page_count").fetchone())
        await write(lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall())
        with pytest.raises(telex.EngineFailed, match="the disk is full; free some space, then publish again"):
            await topic.publish("x" * 100_000)
        assert await contents_of(hub) == ["before"]
        await write(lambda connection, _: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
        await topic.publish("after")
        assert await contents_of(hub) == ["before", "after"]


async def test_a_file_that_can_only_be_read(tmp_path: Path) -> None:
    async with hub_on(tmp_path / "x.db") as (hub, engine):
        topic, write = hub.topic("t"), client_of(engine).write
        await topic.publish("before")
        await write(lambda connection, _: connection.execute("PRAGMA query_only = ON").fetchall())
        with pytest.raises(telex.EngineFailed, match="the right to write"):
            await topic.publish("lost")
        assert await contents_of(hub) == ["before"]


def test_each_code_of_sqlite_says_what_to_do() -> None:
    for code in ("FULL", "READONLY", "BUSY", "CORRUPT", "NOTADB", "IOERR", "PERM", "CANTOPEN"):
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
        text = problems.explain(error)
        assert "; " in text
        assert "as SQLite says it" in text
