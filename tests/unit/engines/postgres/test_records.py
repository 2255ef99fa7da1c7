"""Records in a table of the schema."""

import asyncio
from time import time

import pytest

from telex.engines import Record, Records
from telex.engines.postgres import PostgresEngine
from telex.testing.conformance.rig import Rig

pytestmark = pytest.mark.slow


def records_of(rig: Rig) -> Records:
    assert rig.engine.records is not None
    return rig.engine.records


async def test_a_record_is_changed_by_the_holder_of_its_revision(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig:
        records = records_of(rig)
        assert await records.get("changed", "k") is None
        assert await records.put("changed", "k", b"0", 7) is None, "there is no record to change"
        first = await records.put("changed", "k", b"\0\xff", 0)
        assert first is not None
        assert await records.get("changed", "k") == Record(b"\0\xff", first)
        assert await records.put("changed", "k", b"1", 0) is None
        second = await records.put("changed", "k", b"1", first)
        assert second is not None
        assert second > first
        assert not await records.put("changed", "k", None, first)
        assert await records.put("changed", "k", None, second)
        third = await records.put("changed", "k", b"2", 0)
        assert third is not None
        assert third > second, "the revision fences, also after a deletion"


async def test_of_many_writers_of_several_processes_one_wins(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as one, Rig(PostgresEngine.from_url(engines)) as two:
        puts = [records_of(rig).put("many", "k", b"%d" % n, 0) for n in range(10) for rig in (one, two)]
        assert len([revision for revision in await asyncio.gather(*puts) if revision is not None]) == 1


async def test_keys_of_a_bucket_are_sorted(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig:
        records = records_of(rig)
        for key in ("b", "ä", "a", "B", "ab"):
            assert await records.put("sorted", key, b"", 0)
        assert await records.put("sorted 2", "c", b"", 0)
        assert await records.keys("sorted") == ["B", "a", "ab", "b", "ä"]


async def test_a_put_with_an_expiry_deletes_expired_records(engines: str) -> None:
    async with Rig(PostgresEngine.from_url(engines)) as rig:
        records = records_of(rig)
        for key, expires in (("old", time() - 5), ("new", time() + 60), ("forever", None)):
            assert await records.put("expiring", key, b"", 0, expires)
        assert await records.put("expiring", "last", b"", 0, time() + 60)
        assert await records.keys("expiring") == ["forever", "last", "new"]
