"""The thread that writes: rollback, locks, and closing."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

import telex
from telex.engines.sqlite.address import parse
from telex.engines.sqlite.clock import Clock
from telex.engines.sqlite.jobs import Batch
from telex.engines.sqlite.ledger import Ledger
from telex.engines.sqlite.writer import Writer, WriterEvents
from telex.testing.conformance.rig import message
from tests.unit.engines.sqlite.hubs import contents_of, hub_on
from tests.unit.engines.sqlite.rigs import connect


async def test_a_file_that_another_program_has_locked(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with hub_on(path, "?busy_timeout=50ms") as (hub, _):
        await hub.topic("t").publish("before")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(telex.EngineFailed, match="end what holds it"):
                await hub.topic("t").publish("lost")
            other.execute("ROLLBACK")
        await hub.topic("t").publish("after")
        assert await contents_of(hub) == ["before", "after"]


async def test_a_publisher_waits_for_a_lock_and_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with hub_on(path) as (hub, _):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            publishing = asyncio.ensure_future(hub.topic("t").publish("patient"))
            asyncio.get_running_loop().call_later(0.05, other.execute, "ROLLBACK")
            await publishing
        assert await contents_of(hub) == ["patient"]


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
        self.writer = Writer(parse(f"sqlite:///{place}/telex.db?busy_timeout=20s"), told, Clock(), patience)
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


def test_a_batch_that_was_rolled_back_claims_no_commit(tmp_path: Path) -> None:
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
