"""The first message of a group, worked out against the file."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

import pytest

from telex.engines.sqlite import begins
from telex.errors import BadOption
from telex.message import Position
from tests.unit.engines.sqlite.rigs import G, claim, contents, groups_of, rigs_on, send


async def test_each_topic_of_a_pattern_has_its_own_beginning(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        await rig.retain("a:1", 1)
        await rig.retain("a:2", 2)
        for n in range(4):
            await send(rig, "a:2", f"2/{n}")
            await send(rig, "a:1", f"1/{n}")
        await rig.join(G, "a:*", "earliest")
        assert (await groups_of(rig).groups())[0].lag == 3
        await send(rig, "a:1", "1/4")
        assert (await claim(rig, "a:*", 1)).lag == 4
        assert await contents(rig, "a:*", 2) == ["2/3", "1/3"]
        assert await contents(rig, "a:*") == ["1/4"]


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("far", [False, True])
async def test_so_many_messages_back_are_counted_over_the_topics_of_a_pattern(
    tmp_path: Path, count: int, far: bool
) -> None:
    async with rigs_on(tmp_path, near_messages=-4 * count if far else 8192) as (rig,):
        for n, topic in enumerate(("a:1", "a:1", "b:1", "a:2", "a:1", "b:1", "a:2", "b:1")):
            await send(rig, topic, n)
        await rig.join(G, "a:*", count)
        await send(rig, "a:3", "new")
        kept = [0, 1, 3, 4, 6]
        assert (await groups_of(rig).groups())[0].lag == min(count, 5) + 1
        assert await contents(rig, "a:*") == [*kept[max(0, 5 - count) :], "new"]


async def test_a_group_starts_at_a_time(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        for ago, topic in ((50, "a:1"), (40, "a:2"), (30, "a:1"), (45, "a:3"), (20, "a:2")):
            await send(rig, topic, ago, ago=ago)
        await rig.join(G, "a:*", timedelta(seconds=35))
        await rig.join("other", "a:*", datetime.fromtimestamp(time() - 42, UTC))
        await rig.join(G, "a:1", timedelta(seconds=35))
        assert await contents(rig, "a:*") == [30, 20]
        assert await contents(rig, "a:*", group="other") == [40, 30, 20]
        assert await contents(rig, "a:1") == [30]


async def test_a_group_starts_after_a_position(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        await send(rig, "a:1", 1, 2, 3)
        epoch = rig.log("a:1").epoch
        await rig.join(G, "a:1", Position(2, epoch))
        await rig.join("other", "a:1", Position(2, "another epoch"))
        assert await contents(rig, "a:1") == [3]
        assert await contents(rig, "a:1", group="other") == [1, 2, 3]
        with pytest.raises(BadOption):
            await rig.join(G, "a:*", Position(2, epoch))


async def test_joining_a_group_that_another_process_has_just_made_changes_nothing(tmp_path: Path) -> None:
    def begin() -> None:
        with closing(sqlite3.connect(tmp_path / "telex.db")) as connection, connection:
            begins.begin(connection, G, "a:1", "new", "", time(), 1)

    async with rigs_on(tmp_path) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", "acked", "waits")
        assert await contents(rig, "a:1", 1) == ["acked"]
        await asyncio.to_thread(begin)
        assert await contents(rig, "a:1") == ["waits"]
