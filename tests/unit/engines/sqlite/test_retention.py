"""The messages that a file keeps, and the time when the other messages are deleted."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from time import time
from typing import Self, cast

import pytest

import telex
from telex.engines.sqlite import retention
from telex.engines.sqlite.retention import RetentionRules, Sweeper
from telex.engines.sqlite.upkeep import check
from tests.support.internals import client_of
from tests.support.loops import until
from tests.unit.engines.sqlite.hubs import contents_of, hub_on
from tests.unit.engines.sqlite.rigs import file_with


@pytest.mark.slow
async def test_retention_deletes_what_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with hub_on(path, young_seconds=0.0) as (hub, engine):
        hub.retain("t", messages=10)
        for number in range(600):
            await hub.topic("t").publish(number)
        assert await contents_of(hub) == list(range(590, 600))

        def are_few(connection: sqlite3.Connection) -> bool:
            return bool(connection.execute("SELECT count(*) <= 300 FROM telex_messages").fetchone()[0])

        await until(lambda: client_of(engine).read(are_few))
    assert await asyncio.to_thread(check, path) == []


@pytest.mark.parametrize(("ago", "left"), [(62, 3), (1, 10)])
def test_messages_of_the_last_two_seconds_are_not_deleted(tmp_path: Path, ago: float, left: int) -> None:
    rules = retention.RetentionRules()
    rules.set([("t", 3, None, None)], 1)
    with closing(file_with(tmp_path, 10, ago)) as connection:
        swept = retention.sweep(connection, "t", rules, time(), young=2)
        assert swept is not None
        assert swept.first == 8, "readers are shown three of them at once"
        assert connection.execute("SELECT count(*) FROM telex_messages").fetchone() == (left,)


@pytest.mark.parametrize("limit", range(4))
async def test_bytes_are_kept_as_in_memory(tmp_path: Path, limit: int) -> None:
    first = {}
    for url in ("memory://", f"sqlite:///{tmp_path}/telex.db"):
        async with telex.Hub(url) as hub:
            topic = hub.topic("t")
            size = (await topic.publish("x" * 10)).size
            hub.retain("t", bytes=limit * size)
            for _ in range(5):
                await topic.publish("x" * 10)
            first[url] = [kept.seq async for kept in topic.history()]
    assert set(map(tuple, first.values())) == {tuple(range(7 - limit, 7))}


def test_a_removal_during_a_sweep_is_swept_next() -> None:
    sweeper = Sweeper()

    class Connection:
        def execute(self, *_: object) -> Self:
            sweeper.orphaned()  # the event loop notes it while the writing thread reads
            return self

        def fetchone(self) -> None:
            return None

    rules = RetentionRules()
    sweeper.step(cast("sqlite3.Connection", Connection()), rules, 0.0)
    assert sweeper.is_due(0.0, ages=False)
