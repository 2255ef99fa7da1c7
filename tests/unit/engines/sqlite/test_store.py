"""The file itself: what goes wrong with it, who else has it open, and what it costs to wait for others."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines.sqlite import SQLiteEngine, problems, schema
from telex.engines.sqlite.change_reader import ChangeReader
from telex.engines.sqlite.upkeep import check, compact
from tests.support.internals import bounded, client_of
from tests.support.loops import until

WITHIN = 0.02
"""Seconds in which another process is to see what was committed."""


def at(path: Path, options: str = "") -> str:
    return f"sqlite:///{path}{options}"


@asynccontextmanager
async def opened(path: Path, options: str = "", **bounds: float) -> AsyncIterator[tuple[telex.Hub, SQLiteEngine]]:
    engine = bounded(at(path, options), **bounds)
    async with telex.Hub(engine) as hub:
        yield hub, engine


async def contents(hub: telex.Hub, topic: str = "t") -> list[Any]:
    return [message.content async for message in hub.topic(topic).history()]


async def told(url: str) -> str:
    """What opening a hub there says."""
    with pytest.raises(telex.ConnectFailed) as caught:
        async with telex.Hub(url):
            pass
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


# -- what cannot be opened


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert "make it first" in await told(at(tmp_path / "nowhere" / "x.db"))


async def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert "it is a directory; name a file in it" in await told(at(tmp_path))


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database" * 100)
    assert "give another name, or move that file away" in await told(at(path))
    assert path.read_bytes() == b"not a database" * 100


@pytest.mark.parametrize(("version", "application"), [(0, 0), (17, 0), (99, 123)])
async def test_a_database_that_has_tables_already_is_joined(tmp_path: Path, version: int, application: int) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as own:
        own.executescript(
            f"PRAGMA user_version = {version}; PRAGMA application_id = {application};"
            "CREATE TABLE orders (number INTEGER); INSERT INTO orders VALUES (17)"
        )
    for expected in (["a"], ["a", "a"]):
        async with opened(path) as (hub, _):
            async with hub.transaction() as tx:
                assert await tx.execute("SELECT * FROM orders") == [(17,)]
                await tx.publish("t", "a")
            assert await contents(hub) == expected
    assert await asyncio.to_thread(check, path) == []
    with closing(sqlite3.connect(path)) as own:  # the header is the program's
        assert own.execute("PRAGMA user_version").fetchone() == (version,)
        assert own.execute("PRAGMA application_id").fetchone() == (application,)


async def test_the_version_in_the_header_is_the_programs_also_in_a_file_that_telex_made(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path) as (hub, _):
        await hub.topic("t").publish(1)
    with closing(sqlite3.connect(path)) as own:
        own.execute("PRAGMA user_version = 99")
    async with opened(path) as (hub, _):
        assert await contents(hub) == [1]


async def test_a_database_with_a_table_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE telex_messages (a)")
        other.commit()
    assert "'telex_messages' that is not telex's; rename it" in await told(at(path))
    with pytest.raises(telex.ConnectFailed, match="rename it"):
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
    async with opened(path) as (hub, _):
        await hub.topic("t").publish(1)
        assert await contents(hub) == [1]
    assert await asyncio.to_thread(check, path) == []


@pytest.mark.parametrize(
    ("version", "words"),
    [(schema.VERSION + 1, "update telex"), (99, "update telex"), (0, "a backup"), ("'x'", "a backup")],
)
async def test_a_file_of_a_newer_telex(tmp_path: Path, version: object, words: str) -> None:
    path = tmp_path / "x.db"
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"UPDATE telex_version SET version = {version}")
        other.commit()
        assert words in await told(at(path))
        assert str(other.execute("SELECT version FROM telex_version").fetchone()[0]) == str(version).strip("'")


@pytest.mark.slow
async def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path) as (hub, _):
        for number in range(200):
            await hub.topic("t").publish(f"{number} " + "x" * 500)
    data = bytearray(path.read_bytes())
    data[4096:40960] = os.urandom(40960 - 4096)
    path.write_bytes(data)
    with pytest.raises((telex.ConnectFailed, telex.EngineFailed), match="telex check"):
        async with opened(path) as (hub, _):
            await contents(hub)
    assert await asyncio.to_thread(check, path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://x.db", "three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///x.db?synchronous=off", "synchronous=full"),
        ("sqlite:///x.db?cache=1", "the options are"),
        ("sqlite:///x.db?busy_timeout=soon", "busy_timeout"),
        ("sqlite:///x.db?foreign_keys=1", "foreign_keys=off"),
        ("redis://x", "sqlite:///file.db"),
    ],
)
def test_a_url_that_is_wrong(url: str, words: str) -> None:
    with pytest.raises(telex.BadOption, match=words):
        telex.Hub(url)


# -- what goes wrong later: the publisher is told, what was acknowledged stays, and it goes on


async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as (hub, engine):
        topic = hub.topic("t")
        await topic.publish("before")
        write = client_of(engine).write
        (pages,) = await write(lambda connection, _: connection.execute("PRAGMA page_count").fetchone())
        await write(lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall())
        with pytest.raises(telex.EngineFailed, match="the disk is full; free some space, then publish again"):
            await topic.publish("x" * 100_000)
        assert await contents(hub) == ["before"]
        await write(lambda connection, _: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
        await topic.publish("after")
        assert await contents(hub) == ["before", "after"]


async def test_a_file_that_can_only_be_read(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as (hub, engine):
        topic, write = hub.topic("t"), client_of(engine).write
        await topic.publish("before")
        await write(lambda connection, _: connection.execute("PRAGMA query_only = ON").fetchall())
        with pytest.raises(telex.EngineFailed, match="the right to write"):
            await topic.publish("lost")
        assert await contents(hub) == ["before"]


async def test_a_file_that_another_program_has_locked(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path, "?busy_timeout=50ms") as (hub, _):
        await hub.topic("t").publish("before")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(telex.EngineFailed, match="end what holds it"):
                await hub.topic("t").publish("lost")
            other.execute("ROLLBACK")
        await hub.topic("t").publish("after")
        assert await contents(hub) == ["before", "after"]


async def test_who_waits_for_a_lock_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path) as (hub, _):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            publishing = asyncio.ensure_future(hub.topic("t").publish("patient"))
            asyncio.get_running_loop().call_later(0.05, other.execute, "ROLLBACK")
            await publishing
        assert await contents(hub) == ["patient"]


async def test_content_that_has_no_form_fails_its_publisher_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as (hub, _):
        topic = hub.topic("t")
        good = asyncio.ensure_future(topic.publish(1))
        with pytest.raises(telex.ContentError, match="no JSON form"):
            await topic.publish(object())
        assert (await good).seq == 1
        assert await contents(hub) == [1]


def test_each_code_of_sqlite_says_what_to_do() -> None:
    for code in ("FULL", "READONLY", "BUSY", "CORRUPT", "NOTADB", "IOERR", "PERM", "CANTOPEN"):
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
        text = problems.explain(error)
        assert "; " in text
        assert "as SQLite says it" in text


# -- other processes

OTHER = """
import asyncio, sys, time, telex

async def main():
    async with telex.Hub(sys.argv[1]) as hub:
        topic = hub.topic("t")
        print("ready", flush=True)
        for line in sys.stdin:
            message = await topic.publish(float(line))
            print(time.time(), flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_another_process_is_heard_of_within_20_ms_and_waiting_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    late = []
    async with opened(path) as (hub, _), hub.topic("t").subscribe() as inbox:
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER, at(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdin is not None
        assert other.stdout is not None
        assert await other.stdout.readline() == b"ready\n"
        for number in range(9):
            await asyncio.sleep(0.12)  # until the watcher sleeps, as it does when nothing comes
            other.stdin.write(f"{number}\n".encode())
            assert (await inbox.receive(timeout=5)).content == number
            heard = time.time()
            late.append(heard - float(await other.stdout.readline()))
        other.stdin.close()
        await other.wait()
        other._transport.close()  # type: ignore[attr-defined]  # else its pipes are collected unclosed
        before = time.process_time()
        await asyncio.sleep(1)
        idle = time.process_time() - before
    late.sort()
    print(f"heard after {late[4]:.4f} s, at most {late[-1]:.4f} s; idle {idle:.2%} of a core")
    assert late[4] < WITHIN, "the median, since this machine may be busy"
    assert idle < 0.01


@pytest.mark.slow
async def test_retention_deletes_what_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path, young_seconds=0.0) as (hub, engine):
        hub.retain("t", messages=10)
        for number in range(600):
            await hub.topic("t").publish(number)
        assert await contents(hub) == list(range(590, 600))

        def are_few(connection: sqlite3.Connection) -> bool:
            return bool(connection.execute("SELECT count(*) <= 300 FROM telex_messages").fetchone()[0])

        await until(lambda: client_of(engine).read(are_few))
    assert await asyncio.to_thread(check, path) == []


async def test_compacting_gives_back_space_and_wants_the_file_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opened(path) as (hub, _):
        for _ in range(50):
            await hub.topic("t").publish("x" * 10_000)
        assert await hub.remove("t")
        with pytest.raises(telex.EngineFailed, match="end what holds it"):
            await asyncio.to_thread(compact, path, busy=0.05)
    before, after = await asyncio.to_thread(compact, path)
    assert after < before - 400_000, "500 kB were deleted"
    assert await asyncio.to_thread(check, path) == []


async def test_a_pattern_has_what_this_process_hears_later_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, unheard = f"sqlite:///{tmp_path}/a.db", list[tuple[ChangeReader, int]]()
    async with telex.Hub(url) as other:
        await other.topic("m:a").publish(1)
        noticed = ChangeReader.noticed
        monkeypatch.setattr(ChangeReader, "noticed", lambda self, pos: unheard.append((self, pos)))
        async with telex.Hub(url) as hub:
            async with hub.topic("m:*").subscribe() as inbox:
                await other.topic("m:a").publish(2)
                assert [message.content async for message in hub.topic("m:*").history()][:1] == [1]
                async with asyncio.timeout(20):
                    await until(lambda: unheard)  # nothing tells of it
                monkeypatch.undo()
                for tail, pos in unheard:
                    noticed(tail, pos)
                assert (await inbox.receive(timeout=20)).content == 2
            assert [message.content async for message in hub.topic("m:*").history()] == [1, 2]
