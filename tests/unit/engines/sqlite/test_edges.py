"""Edges of the engine on SQLite, one each; `tests/mutants/hand.py` names the bug that each finds."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from time import monotonic, time
from typing import Any, cast

import pytest

import telex
from telex.engines import Settlement, engine_for
from telex.engines.sqlite import change_reader as tail
from telex.engines.sqlite import delayed, retention, schema
from telex.engines.sqlite.address import parse
from telex.engines.sqlite.bounds import FileBounds
from telex.engines.sqlite.client import FileClient
from telex.engines.sqlite.delayed import Delayed
from telex.engines.sqlite.files import writing
from telex.engines.sqlite.jobs import Batch, Guarded
from telex.engines.sqlite.ledger import Ledger
from telex.engines.sqlite.transaction import SQLiteTransaction
from telex.engines.sqlite.upkeep import check
from telex.engines.sqlite.writer import Writer, WriterEvents
from telex.log.dedup import SECONDS
from telex.log.log import Retention
from telex.testing.conformance.rig import Rig, message
from tests.support.internals import client_of
from tests.support.loops import idle


def rig_on(place: Path) -> Rig:
    return Rig(engine_for(f"sqlite:///{place}/telex.db?synchronous=normal"))


def connect(place: Path) -> sqlite3.Connection:
    return sqlite3.connect(place / "telex.db", isolation_level=None)


async def send(rig: Rig, topic: str, count: int, ago: float = 0.0, **options: Any) -> list[telex.Message[Any]]:
    """Publish numbers, as if it were so long ago."""
    assert rig.engine.store is not None
    moment = time() - ago
    batch = [message(topic, number, published=moment, **options) for number in range(count)]
    return list(await rig.engine.store.append(batch))


def file_with(place: Path, count: int, ago: float = 0.0) -> sqlite3.Connection:
    """A connection to a file with so many messages in topic ``t``."""

    async def make() -> None:
        async with rig_on(place) as rig:
            await send(rig, "t", count, ago=ago)

    asyncio.run(make())
    return connect(place)


# -- groups


async def test_a_lease_is_renewed_when_that_of_the_other_of_its_key_has_ended(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        groups, now = rig.engine.groups, time()
        assert groups is not None

        async def claim(at: float) -> Any:
            (delivery,) = (await groups.claim("g", "t", 10, 30.0, "me", at)).deliveries
            return delivery

        async def settle(delivery: Any, action: Any, at: float) -> bool:
            asked = Settlement(delivery.position, delivery.token, action, seconds=30.0)
            (won,) = await groups.settle("g", "t", [asked], at)
            return won

        await rig.join("g", "t")
        await send(rig, "t", 2, key="k")
        first = await claim(now)
        assert await settle(first, "reject", now)
        second = await claim(now)
        assert await groups.revive("g", "t", first.position, now)  # it stands behind the second, which is leased
        revived = await claim(now + 31)  # the lease of the second has ended, and the oldest goes first
        assert revived.position == first.position
        assert not await settle(second, "extend", now + 40), "the first is worked on"
        assert await settle(second, "extend", now + 62), "the lease of the first has ended"


async def test_a_group_that_had_nothing_is_looked_at_before_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig_on(tmp_path) as rig:
        groups, runtime = rig.engine.groups, client_of(rig.engine)  # SQLite's
        assert groups is not None
        await rig.join("g", "t")
        asked: list[str] = []
        read, write = runtime.read, runtime.write

        async def looks(work: Any) -> Any:
            asked.append("looks")
            return await read(work)

        async def claims(work: Any) -> Any:
            asked.append("claims")
            return await write(work)

        monkeypatch.setattr(runtime, "read", looks)
        monkeypatch.setattr(runtime, "write", claims)

        async def claim() -> int:
            return len((await groups.claim("g", "t", 1, 30.0, "me", time())).deliveries)

        assert await claim() == 0
        assert asked == ["looks"]
        await send(rig, "t", 2)
        assert [await claim() for _ in range(3)] == [1, 1, 0]
        assert asked[1:] == ["looks", "claims", "claims", "claims"]
        assert await claim() == 0
        assert asked[5:] == ["looks"]


# -- what topics keep


@pytest.mark.parametrize(("ago", "left"), [(62, 3), (1, 10)])
def test_what_is_young_is_not_deleted(tmp_path: Path, ago: float, left: int) -> None:
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


# -- delayed messages


class Timers:
    """A runtime of delayed messages whose loop only notes what is asked of it."""

    def __init__(self) -> None:
        self.loop = self
        self.address = parse("sqlite:///x.db")
        self.waits: list[float] = []
        self.rings: list[Callable[[], None]] = []
        self.begun: list[Coroutine[Any, Any, None]] = []
        self.failed: Exception | None = None

    def call_later(self, wait: float, ring: Callable[[], None]) -> asyncio.TimerHandle:
        self.waits.append(wait)
        self.rings.append(ring)
        return asyncio.get_running_loop().call_later(0, lambda: None)

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.begun.append(work)

    async def call(self, function: object, after: object) -> None:
        raise telex.EngineFailed("writing", "the disk is full")


async def test_what_is_due_is_tried_again_after_the_engine_failed() -> None:
    timers = Timers()
    waiting = delayed.Delayed(cast(FileClient, timers))
    waiting.arm(time() + 5)
    assert timers.waits[-1] == pytest.approx(5, abs=0.5)
    timers.rings.pop()()
    await timers.begun.pop()
    assert timers.waits[1:] == [pytest.approx(1, abs=0.5)]
    timers.rings.pop()()
    await timers.begun.pop()
    assert len(timers.waits) == 3
    waiting.close()


async def test_the_timer_of_delayed_messages_looks_again_every_hour() -> None:
    timers = Timers()
    waiting = delayed.Delayed(cast(FileClient, timers))
    waiting.arm(time() + 10 * delayed.LONGEST)
    waiting.close()
    assert timers.waits == [delayed.LONGEST]


# -- what other processes write


@pytest.mark.parametrize("bounds", [FileBounds(read_bytes=1), FileBounds(read_rows=2)])
def test_what_does_not_fit_one_read_is_read_next(tmp_path: Path, bounds: FileBounds) -> None:
    seen: list[int] = []
    place, reads = 1, 0
    with closing(file_with(tmp_path, 5)) as connection:
        while place < 6:
            found = tail.look(connection, place, 6, (0, 0, 0), full=False, bounds=bounds)
            seen += [row[0] for row in found.rows]
            place, reads = found.end, reads + 1
    assert seen == [1, 2, 3, 4, 5]
    assert reads > 1


def test_what_is_being_committed_is_not_known_yet() -> None:
    class Quiet:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, *args: object) -> None: ...

    follower = tail.ChangeReader(cast(FileClient, Quiet()), cast(Delayed, Quiet()))
    own = Batch([])
    own.start, own.end, own.entries = 5, 7, [message("t", 1).numbered(1, 0), message("t", 2).numbered(2, 0)]
    follower.begun(own)
    follower.take_in(tail.Seen("epoch", 7, 0, 0, 0, [], 5), [])
    assert follower.known == 1, "the thread that writes has not said that it is committed"
    follower.take_in(tail.Seen("epoch", 5, 0, 0, 0, [], 5), [])
    assert follower.known == 5
    assert follower.fed == 5


# -- the thread that writes


class Adds:
    """A job that publishes one message; nobody waits for it."""

    def is_wanted(self) -> bool:
        return True

    def perform(self, ledger: Ledger, now: float) -> None:
        ledger.add([message("t", 1)], [("int", None, None, b"1", 1)], now)

    def settle(self, read: object) -> None: ...

    def refuse(self, error: object) -> None: ...


class Written:
    """A `Writer` with its thread, and what it tells."""

    def __init__(self, place: Path, patience: float = 10.0) -> None:
        self.opened = threading.Event()
        self.told = threading.Semaphore(0)
        self.batches: list[Batch] = []
        self.begun: Callable[[Batch], None] = lambda batch: None
        told = WriterEvents(
            self.opened.set, lambda error: None, lambda batch: self.begun(batch), self._tell, self._post
        )
        self.writer = Writer(parse(f"sqlite:///{place}/telex.db?busy_timeout=20s"), told, patience)
        self.writer.thread.start()
        assert self.opened.wait(10)

    def _tell(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.told.release()

    def _post(self, function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)

    def write(self) -> Batch:
        self.writer.put([Adds()])
        assert self.told.acquire(timeout=10)
        return self.batches[-1]

    def close(self) -> None:
        self.writer.close()
        self.writer.thread.join(10)
        assert not self.writer.thread.is_alive()


def test_what_was_rolled_back_claims_nothing(tmp_path: Path) -> None:
    written = Written(tmp_path)

    def fail(batch: Batch) -> None:
        raise sqlite3.OperationalError("this time")

    try:
        assert written.write().error is None
        before = written.writer.claimed
        written.begun = fail
        assert written.write().error is not None
        assert written.writer.claimed == before, "the next commit, whoever makes it, gets the number of this one"
        written.begun = lambda batch: None
        assert written.write().error is None
        assert written.writer.claimed == before + 1
        with closing(connect(tmp_path)) as other:
            assert other.execute("SELECT commits FROM telex_state").fetchone() == (before + 1,)
    finally:
        written.close()


def test_closing_gives_up_on_a_file_that_stays_locked(tmp_path: Path) -> None:
    written = Written(tmp_path, patience=0.05)
    with closing(connect(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        written.writer.put([Adds()])
        begun = monotonic()
        written.writer.close()
        written.writer.thread.join(5)
        waited, ended = monotonic() - begun, not written.writer.thread.is_alive()
        other.execute("ROLLBACK")
    written.writer.thread.join(30)
    assert ended, "it waits for the lock for as long as a publisher would"
    assert waited >= 0.05
    assert "locked" in str(written.batches[-1].error)


def test_what_a_function_did_before_it_failed_is_undone(tmp_path: Path) -> None:
    with closing(writing(parse(f"sqlite:///{tmp_path}/telex.db"))) as connection:
        connection.execute("BEGIN")
        ledger = Ledger(connection)

        def half(connection: sqlite3.Connection, now: float) -> None:
            connection.execute("INSERT INTO telex_removed VALUES ('half', 1)")
            raise KeyError("then it fails")

        def whole(connection: sqlite3.Connection, now: float) -> None:
            connection.execute("INSERT INTO telex_removed VALUES ('whole', 1)")

        future: Any = None  # nobody waits
        jobs = [Guarded(function, future) for function in (whole, half)]
        for job in jobs:
            job.perform(ledger, time())
        connection.execute("COMMIT")
        assert [type(job.error) for job in jobs] == [type(None), telex.EngineFailed]
        assert connection.execute("SELECT name FROM telex_removed").fetchall() == [("whole",)]


# -- transactions of a program


async def test_what_a_program_set_on_the_connection_ends_with_its_statement(tmp_path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.row_factory = lambda cursor, row: {"nothing": "of use"}
        connection.text_factory = bytes

    async with telex.Hub(f"sqlite:///{tmp_path}/telex.db?synchronous=normal") as hub:
        async with hub.transaction() as tx:
            await tx.run(change)
            assert (await tx.publish("t", 1, id="an id")).seq == 1
        assert (await hub.topic("t").publish(2, id="an id")).content == 1, "it is read back"
        assert (await hub.topic("t").publish(3)).seq == 2


async def test_a_statement_is_interrupted_at_the_end_of_its_transaction(tmp_path: Path) -> None:
    long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000000) SELECT max(i) FROM n"
    async with rig_on(tmp_path) as rig:
        tx = SQLiteTransaction(client_of(rig.engine), 0.05)  # SQLite's
        await tx.__aenter__()
        with pytest.raises(telex.Timeout):
            await tx.execute(long)
        with pytest.raises(telex.Timeout):
            await tx.__aexit__(None, None, None)


async def test_a_transaction_whose_entering_was_cancelled_holds_nothing(tmp_path: Path) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/telex.db?synchronous=normal") as hub:
        first, second = hub.transaction(), hub.transaction()
        await first.__aenter__()
        entering = asyncio.create_task(second.__aenter__())
        await idle()
        entering.cancel()
        await first.__aexit__(None, None, None)
        with pytest.raises(asyncio.CancelledError):
            await entering
        publishing = asyncio.ensure_future(hub.topic("t").publish(1))
        done, _ = await asyncio.wait([publishing], timeout=10)
        assert done, "the transaction that nobody entered has the file"


@pytest.mark.parametrize("statement", ["ALTER TABLE telex_messages RENAME TO mine", "ALTER TABLE telex_ids ADD x"])
async def test_a_transaction_may_not_change_the_tables_of_telex(tmp_path: Path, statement: str) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/telex.db?synchronous=normal") as hub:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE mine (a)")
            await tx.execute("ALTER TABLE mine RENAME TO ours")
            with pytest.raises(telex.Misuse, match="belong to telex"):
                await tx.execute(statement)
        assert (await hub.topic("t").publish(1)).seq == 1


# -- the file


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


@pytest.mark.parametrize("number", [4, 5, 1000])
def test_checking_finds_a_message_behind_the_end_of_its_topic(tmp_path: Path, number: int) -> None:
    with closing(file_with(tmp_path, 3)) as other:
        other.execute("UPDATE telex_messages SET seq = ? WHERE seq = 3", (number,))
    found = check(tmp_path / "telex.db")
    assert found == [f"topic 't' has message {number}, and was to end before 4"]


def test_ids_are_forgotten_after_their_window(tmp_path: Path) -> None:
    with closing(writing(parse(f"sqlite:///{tmp_path}/telex.db"))) as connection:
        ledger, now = Ledger(connection), time()
        for number, ago in enumerate((SECONDS + 10, SECONDS + 5, SECONDS - 20, 0)):
            connection.execute("BEGIN IMMEDIATE")
            ledger.refresh()
            ledger.add([message("t", 1, id=f"id {number}")], [("int", None, None, b"1", 1)], now - ago)
            ledger.finish(now - ago)
            connection.execute("COMMIT")
            ledger.clear()
        assert connection.execute("SELECT id FROM telex_ids ORDER BY id").fetchall() == [("id 2",), ("id 3",)]


@pytest.mark.parametrize(("ago", "known"), [(SECONDS - 20, True), (SECONDS + 5, False)])
async def test_an_id_made_here_is_known_for_its_window(tmp_path: Path, ago: float, known: bool) -> None:
    async with rig_on(tmp_path) as rig:
        (made,) = await send(rig, "t", 1, ago=ago)
        (again,) = await send(rig, "t", 1, id=made.id)
        assert (again.seq == made.seq) is known


async def test_retention_is_a_rule_of_the_file(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        assert rig.engine.store is not None
        await rig.engine.store.retain([("t", Retention(messages=1))])
        await send(rig, "t", 3)
    async with rig_on(tmp_path) as rig:
        assert rig.engine.store is not None
        assert rig.engine.store.end("t") == (3, 4)


async def test_what_was_imported_is_known_for_all_time(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        store: Any = rig.engine.store
        first, again = (message("t", 1, id="old", published=time() - 1e6) for _ in range(2))
        assert await store.adopt([first]) == [first.numbered(1, 0)]
        async with rig.engine.transaction() as tx:
            await tx.execute("SELECT 1")
        await client_of(rig.engine).write(  # as it is pruned two minutes later
            lambda connection, _: connection.execute("DELETE FROM telex_ids").fetchall()
        )
        await client_of(rig.engine).write(  # and retention lets the message go
            lambda connection, _: connection.execute("DELETE FROM telex_messages").fetchall()
        )
        assert await store.adopt([again]) == []


def test_files_that_were_made_before_are_known() -> None:
    assert schema.APPLICATION.to_bytes(4) == b"telx"
