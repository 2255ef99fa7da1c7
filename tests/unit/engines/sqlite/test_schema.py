"""Which files are opened, joined, refused, and left as they are."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import telex
from telex.engines.sqlite import schema
from telex.engines.sqlite.upkeep import check
from tests.unit.engines.sqlite.hubs import at, contents_of, hub_on, told
from tests.unit.engines.sqlite.rigs import connect, rig_on


@pytest.mark.parametrize(("version", "application"), [(0, 0), (17, 0), (99, 123)])
async def test_a_database_that_has_tables_already_is_joined(tmp_path: Path, version: int, application: int) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as own:
        own.executescript(
            f"PRAGMA user_version = {version}; PRAGMA application_id = {application};"
            "CREATE TABLE orders (number INTEGER); INSERT INTO orders VALUES (17)"
        )
    for expected in (["a"], ["a", "a"]):
        async with hub_on(path) as (hub, _):
            async with hub.transaction() as tx:
                assert await tx.execute("SELECT * FROM orders") == [(17,)]
                await tx.publish("t", "a")
            assert await contents_of(hub) == expected
    assert await asyncio.to_thread(check, path) == []
    with closing(sqlite3.connect(path)) as own:  # the header is the program's
        assert own.execute("PRAGMA user_version").fetchone() == (version,)
        assert own.execute("PRAGMA application_id").fetchone() == (application,)


async def test_the_version_in_the_header_is_the_programs_also_in_a_file_that_telex_made(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with hub_on(path) as (hub, _):
        await hub.topic("t").publish(1)
    with closing(sqlite3.connect(path)) as own:
        own.execute("PRAGMA user_version = 99")
    async with hub_on(path) as (hub, _):
        assert await contents_of(hub) == [1]


async def test_a_database_with_a_table_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE telex_messages (a)")
        other.commit()
    assert "'telex_messages' of another program, with a name that telex needs; rename the table" in await told(at(path))
    with pytest.raises(telex.ConnectFailed, match="rename the table"):
        await asyncio.to_thread(check, path)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("telex_messages",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_a_file_of_the_first_versions(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(schema.TABLES)
        old.execute("INSERT INTO telex_state VALUES (1, 'abc', 1, 0, 0, 0, 0, 0, 0)")
        old.executescript(f"PRAGMA application_id = {schema.APPLICATION}; PRAGMA user_version = 1")
    async with hub_on(path) as (hub, _):
        await hub.topic("t").publish(1)
        assert await contents_of(hub) == [1]
    assert await asyncio.to_thread(check, path) == []


@pytest.mark.parametrize(
    ("version", "words"),
    [(schema.VERSION + 1, "update telex"), (99, "update telex"), (0, "a backup"), ("'x'", "a backup")],
)
async def test_a_file_of_a_newer_telex(tmp_path: Path, version: object, words: str) -> None:
    path = tmp_path / "x.db"
    async with hub_on(path):
        pass
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"UPDATE telex_version SET version = {version}")
        other.commit()
        assert words in await told(at(path))
        assert str(other.execute("SELECT version FROM telex_version").fetchone()[0]) == str(version).strip("'")


async def test_a_file_of_the_next_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with rig_on(tmp_path):
        pass
    with closing(connect(tmp_path)) as other:
        other.execute("UPDATE telex_version SET version = ?", (schema.VERSION + 1,))
        other.commit()
    with pytest.raises(telex.ConnectFailed, match="update telex"):
        async with rig_on(tmp_path):
            pass
    with closing(connect(tmp_path)) as other:
        assert other.execute("SELECT version FROM telex_version").fetchone() == (schema.VERSION + 1,)


def test_files_that_were_made_before_are_known() -> None:
    assert schema.APPLICATION.to_bytes(4) == b"telx"
