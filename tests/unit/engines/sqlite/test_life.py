"""The life of a hub on a file: how it ends, and what becomes of it when the file or the process is not what it was."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

import telex
from telex.engines.sqlite.upkeep import check
from telex.process import forks
from tests.support.internals import bounded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "x.db"


def at(path: Path, options: str = "?synchronous=normal") -> telex.Hub:
    return telex.Hub(f"sqlite:///{path}{options}", close_timeout=1)


async def contents(hub: telex.Hub) -> list[object]:
    return [message.content async for message in hub.topic("t").history()]


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert not done.returncode, done.stderr
    return done.stdout


# -- the file


def delete_all(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("backup"))
    path.with_name("backup").rename(path)


def make_anew(path: Path) -> None:
    path.rename(path.with_name("moved"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (a)")


LOST: list[Callable[[Path], object]] = [
    Path.unlink,
    delete_all,
    replace,
    make_anew,
    lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    lambda path: path.with_name("x.db-wal").unlink(),
    lambda path: path.with_name("x.db-shm").unlink(),
    lambda path: replace(path.with_name("x.db-wal")),
]


@pytest.mark.parametrize("lose", LOST)
async def test_nothing_is_acknowledged_into_a_file_that_is_gone(path: Path, lose: Callable[[Path], object]) -> None:
    async with at(path) as hub:
        await hub.topic("t").publish("before")
        await asyncio.to_thread(lose, path)
        with pytest.raises((telex.EngineFailed, telex.Closed), match="deleted, moved, replaced"):
            await hub.topic("t").publish("lost")
        with pytest.raises(telex.TelexError, match="deleted, moved, replaced"):
            await hub.transaction().__aenter__()
        with pytest.raises(telex.TelexError, match="deleted, moved, replaced"):
            await hub.topic("t").publish("lost, too")


async def test_a_transaction_is_not_acknowledged_either(path: Path) -> None:
    async with at(path) as hub:
        tx = hub.transaction()
        await tx.__aenter__()
        await tx.publish("t", "lost")
        await asyncio.to_thread(path.unlink)
        with pytest.raises(telex.EngineFailed, match="deleted, moved, replaced"):
            await tx.__aexit__(None, None, None)


async def test_a_hub_that_only_reads_is_told_that_the_file_is_gone(path: Path) -> None:
    async with telex.Hub(bounded(f"sqlite:///{path}", watch_seconds=0.01)) as hub, hub.topic("t").subscribe() as inbox:
        await asyncio.to_thread(path.unlink)
        with pytest.raises(telex.Closed):
            await inbox.receive(timeout=5)
        with pytest.raises(telex.Closed, match="deleted, moved, replaced"):
            await hub.topic("t").publish("lost")


@pytest.mark.parametrize("change", ["commits = 0", "epoch = 'another'"])
async def test_a_file_that_was_overwritten_by_another_is_told(path: Path, change: str) -> None:
    async with at(path) as hub:
        await hub.topic("t").publish("before")
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"UPDATE telex_state SET {change}")
            other.commit()
        with pytest.raises(telex.EngineFailed, match="overwritten"):
            await hub.topic("t").publish("lost")


async def test_a_relative_path_is_that_of_where_the_hub_was_opened(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    async with telex.Hub("sqlite:///x.db") as hub:
        monkeypatch.chdir(tmp_path)
        await hub.topic("t").publish(1)
        assert await contents(hub) == [1]
    assert await asyncio.to_thread(check, path) == []
    assert not (tmp_path / "x.db").exists()


# -- the end


def threads_of_files() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("telex-sqlite")]


async def serve(hub: telex.Hub, opened: asyncio.Event, *, transaction: bool) -> None:
    async with hub:
        await hub.topic("t").publish(1)
        if transaction:
            other = hub.transaction()
            await other.__aenter__()
        opened.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("times", [1, 2, 5])
async def test_closing_that_is_cancelled_leaves_nothing(path: Path, times: int, transaction: bool) -> None:
    hub, opened, files = at(path), asyncio.Event(), await asyncio.to_thread(forks.open_files)
    task = asyncio.create_task(serve(hub, opened, transaction=transaction))
    await opened.wait()
    async with asyncio.timeout(5):
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        if transaction and times == 1:
            await asyncio.sleep(0)
            task.cancel()  # the first ended the program; this one ends the wait for the transaction
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (hub.closed, threads_of_files()) == (True, [])
    assert not await asyncio.to_thread(forks.open_files) - files
    async with at(path) as again:
        assert await contents(again) == [1]


async def test_closing_in_a_cancelled_scope_leaves_nothing(path: Path) -> None:
    hub = at(path)
    with anyio.CancelScope() as scope:
        async with hub:
            await hub.topic("t").publish(1)
            scope.cancel()
            await anyio.sleep_forever()
    assert (hub.closed, threads_of_files()) == (True, [])


UNCLOSED = """
import asyncio, sys, telex

async def main():
    hub = telex.Hub(sys.argv[1])
    await hub.__aenter__()
    print((await hub.topic("t").publish(1)).seq)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_program_that_closes_nothing_ends(path: Path) -> None:
    url = f"sqlite:///{path}"
    assert run(UNCLOSED, url) == "1\n"
    assert run(UNCLOSED, url) == "2\n"
    assert check(path) == []


# -- forks

FORKED = """
import asyncio, multiprocessing, os, sqlite3, sys, telex

path, other = sys.argv[1:]
fork = multiprocessing.get_context("fork")

async def tell(waiting):
    try:
        print(await asyncio.wait_for(waiting, 5))
    except (telex.TelexError, TimeoutError) as error:
        print(type(error).__name__, error)

async def opened(path):
    async with telex.Hub(f"sqlite:///{path}") as hub:
        return (await hub.topic("t").publish("of the child")).seq

async def use(hubs, topics):
    for topic in topics:
        await tell(topic.publish("of the child"))
    for hub in hubs:
        await hub.aclose()
        await tell(hub.topics())
        await tell(hub.call("a", 1))
    for hub in hubs[:1]:
        await tell(hub.groups.dead())
    await tell(opened(path))
    await tell(opened(other))

def child(hubs, topics):
    asyncio.run(use(hubs, topics))
    sys.stdout.flush()

async def main():
    async with telex.Hub(f"sqlite:///{path}") as hub, telex.Hub() as memory:
        topics = [hub.topic("t"), memory.topic("t")]
        await topics[0].publish("before")
        process = fork.Process(target=child, args=([hub, memory], topics))
        process.start()
        await asyncio.to_thread(process.join, 20)
        await topics[0].publish("after")
        print([message.content async for message in topics[0].history()])
    process = fork.Process(target=child, args=([], []))  # nothing has it open now
    process.start()
    await asyncio.to_thread(process.join, 20)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_refused_what_its_parent_had_open(path: Path) -> None:
    told = run(FORKED, str(path), str(path.with_name("other.db"))).splitlines()
    refused, refused_file = [line for line in told if forks.HUB in line], [line for line in told if forks.FILE in line]
    assert (len(refused), len(refused_file)) == (7, 1), told
    assert [line for line in told if line not in refused + refused_file] == ["1", "['before', 'after']", "3", "2"]


def test_open_files_are_those_that_a_child_may_not_open(path: Path) -> None:
    path.touch()
    status = path.stat()
    with path.open():
        assert (status.st_dev, status.st_ino) in forks.open_files()
    assert (status.st_dev, status.st_ino) not in forks.open_files()
