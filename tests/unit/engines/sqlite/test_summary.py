"""The summary of a file's topics counts what is kept, and changes nothing."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import telex
from telex.engines.sqlite.summary import summaries
from telex.engines.summary import TopicSummary
from telex.log.log import Retention
from tests.unit.engines.sqlite.rigs import connect, publish_numbers, rig_on


async def test_topics_are_summed_up_by_name(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        await publish_numbers(rig, "orders:2", 12)
        (last,) = await publish_numbers(rig, "orders:1", 1, ago=3600)
    found = await asyncio.to_thread(summaries, tmp_path / "telex.db")
    assert [(each.topic, each.messages, each.bytes) for each in found] == [("orders:1", 1, 1), ("orders:2", 12, 14)]
    assert found[0].last == last.timestamp
    assert found[1].last is not None
    assert datetime.now(UTC) - found[1].last < timedelta(minutes=1)


async def test_messages_that_retention_hides_do_not_count(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        assert rig.engine.store is not None
        await rig.engine.store.retain([("few", Retention(2)), ("none", Retention(0))])
        for topic in ("few", "none"):
            await publish_numbers(rig, topic, 10)
    few, none = await asyncio.to_thread(summaries, str(tmp_path / "telex.db"))
    assert (few.topic, few.messages, few.bytes) == ("few", 2, 2)
    assert none == TopicSummary("none", 0, 0, None)


async def test_a_summary_changes_nothing_while_the_file_is_in_use(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        await publish_numbers(rig, "t", 1)
        with closing(connect(tmp_path)) as other:
            before = other.execute("SELECT * FROM telex_state").fetchall()
            assert [each.messages for each in await asyncio.to_thread(summaries, tmp_path / "telex.db")] == [1]
            await publish_numbers(rig, "t", 1)
            assert [each.messages for each in await asyncio.to_thread(summaries, tmp_path / "telex.db")] == [2]
            assert len(before) == 1


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(telex.ConnectFailed):
        summaries(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_file_is_reported_as_damaged(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        await publish_numbers(rig, "t", 1)
    with closing(connect(tmp_path)) as other:
        other.execute("DROP TABLE telex_rules")
    with pytest.raises((telex.EngineFailed, telex.ConnectFailed)) as raised:
        await asyncio.to_thread(summaries, tmp_path / "telex.db")
    assert not isinstance(raised.value.__cause__, sqlite3.Error)
