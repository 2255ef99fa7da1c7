"""A damaged message is reported in its place and stops nothing else; a shortage passes; a damaged file ends the hub."""

import asyncio
import errno
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import telex
from telex.engines import forms
from telex.engines.sqlite import change_reader as tail
from telex.engines.sqlite import files, reader, rows, watcher
from telex.engines.sqlite.upkeep import check
from telex.message import Draft
from tests.faults.damage import damage_often
from tests.support.internals import bounded, client_of, engine_of, groups_of, log_of
from tests.unit.engines.sqlite.hubs import checkpoint

BAD = "bad"
Lost = telex.Lost(1, 2, 2, "unreadable")
STORED = ['{"a":', "[" * 100_000, 5, 1.5, "", b"\xff\xfe"]
"""What a damaged disk makes of content. The last one is stored as text that is not UTF-8."""


def url(path: Path) -> str:
    return f"sqlite:///{path}/x.db?synchronous=normal"


@pytest.fixture(params=range(len(STORED)), ids=["cut", "deep", "int", "float", "empty", "not UTF-8"])
def damaged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published as BAD is stored as something that cannot be decoded."""
    encode, insert, stored = forms.encode, rows.insert, STORED[request.param]

    def broken(draft: Draft, largest: int) -> Any:
        type_, key, headers, content, size = encode(draft, largest)
        return type_, key, headers, stored if draft.content == BAD else content, size

    def inserted(connection: sqlite3.Connection, found: list[tuple[Any, ...]]) -> None:
        insert(connection, found)
        if isinstance(stored, bytes):
            connection.execute("UPDATE telex_messages SET content = CAST(content AS TEXT) WHERE content = ?", (stored,))

    monkeypatch.setattr(forms, "encode", broken)
    monkeypatch.setattr(rows, "insert", inserted)


async def publish_three(path: Path) -> None:
    async with telex.Hub(url(path)) as other:
        for content in (1, BAD, 3):
            await other.topic("t").publish(content)
        await other.topic("u").publish("of another topic")


@pytest.mark.usefixtures("damaged")
async def test_subscribers_are_told_of_a_damaged_message_in_its_place(tmp_path: Path) -> None:
    async with (
        telex.Hub(url(tmp_path)) as hub,
        hub.topic("t").subscribe(report_lost=True) as inbox,
        hub.topic("*").subscribe(report_lost=True) as every,
        hub.topic("t").subscribe() as silent,
    ):
        await publish_three(tmp_path)
        got = [await inbox.receive(timeout=5) for _ in range(3)]
        assert [item if isinstance(item, telex.Lost) else item.content for item in got] == [1, Lost, 3]
        heard = [await every.receive(timeout=5) for _ in range(4)]
        assert [item.reason if isinstance(item, telex.Lost) else item.content for item in heard] == [
            1,
            "unreadable",
            3,
            "of another topic",
        ]
        assert [(await silent.receive(timeout=5)).content for _ in range(2)] == [1, 3]
        assert silent.lost == inbox.lost == 1
        assert (await hub.topic("t").publish("on it goes")).seq == 4


@pytest.mark.usefixtures("damaged")
async def test_a_reader_of_kept_messages_is_told_of_a_damaged_one(tmp_path: Path) -> None:
    await publish_three(tmp_path)
    told = await asyncio.to_thread(check, tmp_path / "x.db")
    assert [line for line in told if "message 2 of topic 't' cannot be read" in line]
    async with telex.Hub(url(tmp_path)) as hub:
        topic = hub.topic("t")
        history = topic.history()
        assert (await anext(history)).content == 1
        with pytest.raises(telex.EngineFailed, match=r"message 2 of 't'.*telex check"):
            await anext(history)
        assert [message.content async for message in history] == [3]
        start = telex.Position(0, (await topic.position()).epoch)
        items = [item async for item in topic.history(start=start)]
        assert [item if isinstance(item, telex.Lost) else item.content for item in items] == [1, Lost, 3]
        assert [m.content async for m in topic.history(start=1)] == [3]
        assert [m.content async for m in hub.topic("*").history()] == [1, 3, "of another topic"]
        async with topic.subscribe(start="earliest", report_lost=True, overflow="catch_up") as inbox:
            got = [await inbox.receive(timeout=5) for _ in range(3)]
            assert [item if isinstance(item, telex.Lost) else item.content for item in got] == [1, Lost, 3]
            assert (inbox.lost, inbox.statistics().received) == (1, 2)
        # The newest of each key is known only from where all can be read.
        options: dict[str, Any] = {"overflow": "latest", "key": lambda message: message.content}
        async with topic.subscribe(start="earliest", report_lost=True, **options) as inbox:
            got = [await inbox.receive(timeout=5) for _ in range(2)]
            assert [item if isinstance(item, telex.Lost) else item.content for item in got] == [
                telex.Lost(2, 1, 2, "unreadable"),
                3,
            ]


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("pattern", ["t", "*"])
async def test_a_damaged_message_is_a_dead_letter_and_its_group_goes_on(tmp_path: Path, pattern: str) -> None:
    await publish_three(tmp_path)
    got: list[object] = []
    done = asyncio.Event()
    async with telex.Hub(url(tmp_path)) as hub:

        @hub.on(pattern, group="g", start="earliest", run_in="loop")
        def take(message: telex.Message[Any]) -> None:
            got.append(message.content)
            if message.content == "last":
                done.set()

        @hub.on("dead:g", run_in="loop")
        def bury(message: telex.Message[Any]) -> None:
            got.append(message.headers["telex-reason"][:7])

        await hub.topic("t").publish("last")
        await asyncio.wait_for(done.wait(), 5)
        while not (dead := await hub.groups.dead()):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)
        assert [(letter.message.seq, "damaged" in letter.reason) for letter in dead] == [(2, True)]
        assert [content for content in got if content != "its con"][-1] == "last"
        assert [content for content in got if isinstance(content, int)] == [1, 3]


async def test_a_damaged_delayed_message_delays_no_other(tmp_path: Path) -> None:
    async with telex.Hub(url(tmp_path)) as hub:
        for content in ("first", "broken", "not UTF-8", "lost", "last"):
            await hub.topic("t").publish(content, delay=60.0)
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("UPDATE telex_delayed SET due = 5 + n, content = replace(content, '\"broken', '(broken')")
        bad = "UPDATE telex_delayed SET {} = CAST(x'fffe' AS TEXT) WHERE content = ?"
        connection.execute(bad.format("topic"), ('"lost"',))
        connection.execute(bad.format("content"), ('"not UTF-8"',))
    told = await asyncio.to_thread(check, tmp_path / "x.db")
    assert len([line for line in told if "delayed message" in line]) == 2
    async with telex.Hub(url(tmp_path)) as hub, hub.topic("t").subscribe(start="earliest", report_lost=True) as inbox:
        got = [await inbox.receive(timeout=5) for _ in range(3)]
        heard = [item.count if isinstance(item, telex.Lost) else item.content for item in got]
        assert heard == ["first", 2, "last"] or heard == ["first", 1, 1]
        again = [item async for item in hub.topic("t").history(start=telex.Position(0, inbox.position.epoch))]
        assert [item.count if isinstance(item, telex.Lost) else item.content for item in again] == ["first", 2, "last"]


class Picky(msgspec.Struct):
    price: int
    raises: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        if self.price < 0:
            raise ERRORS[-self.price - 1]


class OfItsOwn(BaseException):
    """What no library expects."""


ERRORS = [AssertionError("no"), KeyError("no"), RecursionError("no"), ZeroDivisionError("no"), OfItsOwn("no")]


@pytest.mark.parametrize("number", range(len(ERRORS)), ids=[type(error).__name__ for error in ERRORS])
async def test_a_declared_type_that_refuses_content_stops_nothing(tmp_path: Path, number: int) -> None:
    got = []
    async with telex.Hub(url(tmp_path)) as hub, hub.topic("t").subscribe() as inbox:
        hub.topic("t", Picky)
        async with telex.Hub(url(tmp_path)) as other:
            await other.topic("t").publish({"price": -1 - number})
            await other.topic("t").publish({"price": 2})
        await hub.topic("u").publish("another")
        got = [(await inbox.receive(timeout=5)).content for _ in range(2)]
    assert got == [{"price": -1 - number}, Picky(2)], "what does not fit stays plain"


# -- shortages


async def test_reading_is_tried_again_while_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look, short = tail.look, [MemoryError(), sqlite3.OperationalError("disk I/O error"), OSError(errno.EMFILE, "many")]
    short[1].sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[attr-defined]

    def in_need(*args: Any, **options: Any) -> Any:
        if "first" in options and short:  # not while the file is opened
            raise short.pop()
        return look(*args, **options)

    monkeypatch.setattr(tail, "look", in_need)
    async with telex.Hub(bounded(url(tmp_path), read_pauses=(0.001,) * 5)) as hub, hub.topic("t").subscribe() as inbox:
        async with telex.Hub(url(tmp_path)) as other:
            await other.topic("t").publish(1)
        await hub.topic("t").publish(2)
        assert [(await inbox.receive(timeout=5)).content for _ in range(2)] == [1, 2]
    assert not short


async def test_a_message_that_memory_never_suffices_for_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = forms.decode

    def in_need(found: list[tuple[Any, ...]], *rest: Any) -> Any:
        if any(row[7] == '"large"' for row in found):
            raise MemoryError
        return decode(found, *rest)

    monkeypatch.setattr(forms, "decode", in_need)
    async with (
        telex.Hub(bounded(url(tmp_path), read_pauses=(0.001,))) as hub,
        hub.topic("t").subscribe(report_lost=True) as inbox,
    ):
        async with telex.Hub(url(tmp_path)) as other:
            await other.topic("t").publish("large")
        assert await inbox.receive(timeout=5) == telex.Lost(1, 1, 1, "unreadable")
        await hub.topic("t").publish("small")
        assert (await inbox.receive(timeout=5)).content == "small"  # type: ignore[union-attr]


async def test_a_shortage_that_lasts_fails_the_hub_and_ends_all_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = tail.look

    def in_need(*args: Any, **options: Any) -> Any:
        if "first" in options:  # not while the file is opened
            raise MemoryError
        return look(*args, **options)

    monkeypatch.setattr(tail, "look", in_need)
    async with telex.Hub(bounded(url(tmp_path), read_pauses=(0.001,) * 3)) as hub, hub.topic("t").subscribe() as inbox:
        async with telex.Hub(url(tmp_path)) as other:
            # The second is kept behind what this hub cannot read.
            await other.topic("t").publish(1)
        with pytest.raises((telex.EngineFailed, telex.Closed), match="not enough memory"):
            await asyncio.wait_for(hub.topic("t").publish(2), 5)
        assert [message async for message in inbox] == []


class Short:
    """Opening a connection that reads fails for so many times, in the thread of that name."""

    def __init__(self, thread: Any, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, self.reading = times, files.reading
        monkeypatch.setattr(thread, "files", self)

    def __call__(self, address: Any) -> sqlite3.Connection:
        self.times -= 1
        if self.times >= 0:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return files_reading(address)


files_reading = files.reading


async def test_a_watcher_without_descriptors_watches_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Short(watcher, 2, monkeypatch)
    monkeypatch.setattr(short, "reading", short)
    async with telex.Hub(bounded(url(tmp_path), rewatch_seconds=0.001)) as hub, hub.topic("t").subscribe() as inbox:
        async with telex.Hub(url(tmp_path)) as other:
            await other.topic("t").publish("heard")
        assert (await inbox.receive(timeout=5)).content == "heard"
    assert short.times < 0


async def test_without_descriptors_a_hub_does_not_open_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        short = Short(reader, 1, patch)
        patch.setattr(short, "reading", short)
        with pytest.raises(telex.ConnectFailed, match="cannot be opened"):
            await asyncio.wait_for(telex.Hub(url(tmp_path)).__aenter__(), 5)

    def no_pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pipe", no_pipe)
    with pytest.raises(telex.ConnectFailed, match="ulimit"):
        await asyncio.wait_for(telex.Hub(url(tmp_path)).__aenter__(), 5)


# -- the file


@pytest.mark.parametrize("finder", ["history", "groups", "records", "transaction"])
@pytest.mark.slow
async def test_nothing_is_acknowledged_after_damage_was_seen(tmp_path: Path, finder: str) -> None:
    path = tmp_path / "x.db"
    async with telex.Hub(url(tmp_path)) as hub:
        for _ in range(200):
            await hub.topic("t").publish("x" * 500)
    checkpoint(path)
    async with telex.Hub(url(tmp_path)) as hub:
        await hub.topic("t").publish("before")
        os.truncate(path, 20_000)
        with pytest.raises(telex.TelexError, match="damaged"):
            async with asyncio.timeout(5):
                await FINDERS[finder](hub)
        acknowledged = 0
        for number in range(20):
            try:
                await asyncio.wait_for(hub.topic("t").publish(number), 5)
                acknowledged += 1
            except telex.TelexError:
                break
        assert not acknowledged


async def _history(hub: telex.Hub) -> None:
    async for _ in hub.topic("t").history():
        pass


async def _groups(hub: telex.Hub) -> None:
    groups = groups_of(hub)
    assert groups is not None
    await groups.join("g", "t", "earliest", lambda: log_of(hub.topic("t")))
    await groups.fetch("g", "t", 200, 1.0, "me", 0.0)


async def _records(hub: telex.Hub) -> None:
    engine: Any = engine_of(hub)
    await client_of(engine).write(lambda connection, _: connection.execute("SELECT * FROM telex_messages").fetchall())


async def _transaction(hub: telex.Hub) -> None:
    async with hub.transaction() as tx:
        with suppress(telex.EngineFailed):
            await tx.execute("SELECT count(content) FROM telex_messages WHERE content LIKE '%y%'")
        await tx.publish("t", "after")


FINDERS = {"history": _history, "groups": _groups, "records": _records, "transaction": _transaction}


@pytest.mark.slow
async def test_a_row_that_is_missing_blocks_no_group_and_no_publisher(tmp_path: Path) -> None:
    async with telex.Hub(url(tmp_path)) as hub:
        hub.retain("t", messages=10)
        for number in range(12):
            await hub.topic("t").publish(number)
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM telex_messages WHERE seq IN (2, 5, 12)")
    told = await asyncio.to_thread(check, tmp_path / "x.db")
    assert any("should have messages" in line for line in told)
    got: list[int] = []
    done = asyncio.Event()
    async with telex.Hub(url(tmp_path)) as hub:

        @hub.on("t", group="g", start="earliest", run_in="loop")
        def take(number: int) -> None:
            got.append(number)
            if number == 99:
                done.set()

        await hub.topic("t").publish(99)
        await asyncio.wait_for(done.wait(), 5)
        assert got == [3, 5, 6, 7, 8, 9, 10, 99] or got == [2, 3, 5, 6, 7, 8, 9, 10, 99]


@pytest.mark.slow
def test_any_damage_is_told_with_what_to_do(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    count = damage_often(tmp_path, 12, seed)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"


async def test_damaged_numbers_end_reading_and_do_not_make_it_endless(tmp_path: Path) -> None:
    async with telex.Hub(url(tmp_path)) as hub:
        for number in range(5):
            await hub.topic("t").publish(number)
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("UPDATE telex_messages SET seq = 0, content = '(' WHERE seq = 3")
    async with telex.Hub(url(tmp_path)) as hub:
        with pytest.raises(telex.EngineFailed, match="numbers of its messages are damaged"):
            await asyncio.wait_for(anext(hub.topic("t").history()), 5)
        async with hub.topic("t").subscribe(start="earliest") as inbox:
            with pytest.raises(telex.EngineFailed, match="telex check"):
                await asyncio.wait_for(inbox.receive(), 5)
