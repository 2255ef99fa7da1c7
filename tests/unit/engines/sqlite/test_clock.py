"""The clock of a file: one for all processes, and nobody sets it."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

import telex
from telex.engines.sqlite import clock
from tests.support.clocks import set_clocks
from tests.support.internals import engine_of, groups_of, log_of


async def test_the_clock_of_a_file_is_one_for_all_who_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/telex.db"
    async with telex.Hub(url) as one:
        set_clocks(monkeypatch, 3600)
        async with telex.Hub(url) as other:
            assert abs(engine_of(one).now() - engine_of(other).now()) < 0.1
    async with telex.Hub(url) as later:
        assert abs(clock.Clock().now() - 3600 - engine_of(later).now()) < 60


async def test_a_boot_ends_all_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/telex.db"
    async with telex.Hub(url) as hub:
        groups, topic = groups_of(hub), hub.topic("t")
        assert groups is not None
        await groups.join("g", "t", "new", lambda: log_of(topic))
        await topic.publish("held")
        assert (await groups.fetch("g", "t", 1, 1e6, "dead", 0.0)).deliveries
    with closing(sqlite3.connect(tmp_path / "telex.db")) as connection, connection:
        earlier = msgspec.json.encode(clock.Offset("another boot", 0.0))
        connection.execute("UPDATE telex_records SET value = ? WHERE bucket = '$clock'", (earlier,))
    monkeypatch.setattr(clock, "time", lambda: 1000.0)  # a machine that has no clock of its own
    async with telex.Hub(url) as hub:
        assert abs(engine_of(hub).now() - 1000) < 60
        (delivery,) = (await groups_of(hub).fetch("g", "t", 1, 10, "me", 0.0)).deliveries
        assert delivery.attempt == 2


def test_where_no_boot_is_known_it_is_the_time_of_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = clock.Clock(tmp_path / "nothing")
    with closing(sqlite3.connect(":memory:")) as connection:
        shared.join(connection)  # which has no table to look into
    assert abs(shared.now() - time.time()) < 1
    monkeypatch.setattr(clock, "time", lambda: 1000.0)
    assert shared.now() == 1000


@pytest.mark.parametrize("value", [b"{", b'{"boot": 5}', 7, None])
async def test_a_clock_that_is_damaged_is_as_new(tmp_path: Path, value: object) -> None:
    url = f"sqlite:///{tmp_path}/telex.db"
    async with telex.Hub(url):
        pass
    with closing(sqlite3.connect(tmp_path / "telex.db")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE telex_records SET value = coalesce(?, '') WHERE bucket = '$clock'", (value,))
    async with telex.Hub(url) as hub:
        assert abs(engine_of(hub).now() - clock.Clock().now()) < 60
