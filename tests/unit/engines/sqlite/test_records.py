"""Records in a table: what one turn of the loop reads together, revisions, and what has expired."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import time
from typing import Any, cast

import pytest

import telex
from telex.engines.contract.records import Record
from telex.engines.sqlite.client import FileClient
from telex.engines.sqlite.records import SWEPT, SQLiteRecords, put
from tests.unit.engines.sqlite.rigs import file_with, rig_on


class Asked:
    """In the place of `FileClient`: it counts reads, and answers when the test says so."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.readings: list[asyncio.Future[Any]] = []
        self.refuses: Exception | None = None

    def reading(self, function: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        if self.refuses is not None:
            raise self.refuses
        self.readings.append(self.loop.create_future())
        return self.readings[-1]


async def asked_for(client: Asked, *keys: str) -> list[asyncio.Task[Record | None]]:
    kept = SQLiteRecords(cast(FileClient, client))
    tasks = [asyncio.create_task(kept.get("b", key)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_records_asked_for_in_one_turn_are_read_together() -> None:
    client = Asked()
    first, second = await asked_for(client, "a", "c")
    (reading,) = client.readings
    reading.set_result([(b"1", 5), None])
    assert (await first, await second) == (Record(b"1", 5), None)


async def test_a_record_that_nobody_waits_for_any_more_disturbs_no_other() -> None:
    client = Asked()
    first, second = await asked_for(client, "a", "c")
    first.cancel()
    await asyncio.wait([first])
    client.readings[0].set_result([(b"1", 5), (b"2", 6)])
    assert await second == Record(b"2", 6)


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "failed"])
async def test_a_read_that_fails_fails_all_that_were_asked_for(refused: bool) -> None:
    client, error = Asked(), telex.EngineFailed("reading", "the disk is gone")
    client.refuses = error if refused else None
    tasks = await asked_for(client, "a", "c")
    if not refused:
        client.readings[0].set_exception(error)
    for task in tasks:
        with pytest.raises(telex.EngineFailed, match="the disk is gone"):
            await task


async def test_a_record_is_put_deleted_and_listed_by_its_revision(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        kept = rig.engine.records
        assert kept is not None
        first = await kept.put("b", "z", b"1", 0)
        assert first is not None
        assert await kept.put("b", "z", b"2", 0) is None
        second = await kept.put("b", "z", b"2", first)
        assert second is not None
        assert second > first
        await kept.put("b", "a", b"", 0)
        await kept.put("other", "c", b"", 0)
        assert await kept.keys("b") == ["a", "z"]
        assert await kept.get("b", "z") == Record(b"2", second)
        assert not await kept.put("b", "z", None, first)
        assert await kept.put("b", "z", None, second)
        assert await kept.get("b", "z") is None
        third = await kept.put("b", "z", b"3", 0)
        assert third is not None
        assert third > second, "a revision is never used again"


def test_expired_records_are_deleted_as_others_that_expire_are_put(tmp_path: Path) -> None:
    now = time()
    with closing(file_with(tmp_path, 0)) as connection:
        connection.execute("BEGIN")

        def kept() -> int:
            found: int = connection.execute("SELECT count(*) FROM telex_records WHERE bucket = 'old'").fetchone()[0]
            return found

        for number in range(5):
            put(connection, "old", str(number), b"", 0, now - 1 if number < 4 else None, now - 10)
        assert kept() == 5
        put(connection, "new", "lasts", b"", 0, None, now)
        assert kept() == 5
        put(connection, "new", "expires", b"", 0, now + 10, now)
        assert kept() == 5 - SWEPT
        put(connection, "new", "again", b"", 0, now + 10, now)
        put(connection, "new", "and again", b"", 0, now + 10, now)
        assert kept() == 1, "the one that never expires"
