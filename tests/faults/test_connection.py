"""A hub whose server fails, whose connections are ended, and whose network is silent: all goes on, and is seen."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import psycopg.conninfo
import pytest

import telex
from tests.faults.proxy import proxy
from tests.support.loops import until
from tests.support.postgres import PostgresServer, startable, url_of

pytestmark = pytest.mark.slow
TOPIC = "orders:1"
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'telex'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with startable() as server:
        server.start()
        yield server


class Program:
    """A hub with a subscriber, a handler, a group, a command that runs once and a timer, and what they did."""

    def __init__(self, hub: telex.Hub) -> None:
        self.hub = hub
        self.sent = 0
        self.received: list[int] = []
        self.handled: list[int] = []
        self.grouped: list[int] = []
        self.billed: list[int] = []
        self.ticks = 0
        self.states: list[str] = []

    async def publish(self, timeout: float | None = None) -> None:
        self.sent += 1
        await self.hub.topic(TOPIC).publish(self.sent, timeout=timeout)

    async def bill(self, number: int) -> int:
        self.billed.append(number)
        return number

    def tick(self) -> None:
        self.ticks += 1

    async def check(self, number: int) -> None:
        """Everything works, and nothing was lost or came twice."""
        hub, ticks = self.hub, self.ticks
        await until(lambda: hub.connected)
        await self.publish()
        assert await hub.call("bill", number, key=str(number), timeout=20) == number
        assert await hub.call("bill", number, key=str(number), timeout=20) == number
        expected = list(range(1, self.sent + 1))
        await until(lambda: len(self.received) >= self.sent and len(self.grouped) >= self.sent)
        await until(lambda: self.ticks > ticks)
        assert (self.received, self.handled, sorted(self.grouped)) == (expected, expected, expected)
        assert self.billed.count(number) == 1


@asynccontextmanager
async def running(url: str, close_timeout: float = 10.0) -> AsyncIterator[Program]:
    async with telex.Hub(url, close_timeout=close_timeout) as hub:
        program = Program(hub)
        hub.on(TOPIC)(program.handled.append)
        hub.on(TOPIC, group="billing", lease="30s")(program.grouped.append)
        hub.on("$connection", run_in="loop")(lambda change: program.states.append(change.state))
        hub.command("bill", once=True, run_in="loop")(program.bill)
        hub.every("100ms", name="ticking", run_in="loop")(program.tick)

        async def receive() -> None:
            async with hub.topic(TOPIC).subscribe() as inbox:
                async for message in inbox:
                    program.received.append(message.content)

        receiving = asyncio.ensure_future(receive())
        await program.check(1)
        yield program
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


def of_the_connection(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """What is logged but for settlements that broke with their connection, which are of `telex.handlers`."""
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "telex"]


async def test_a_program_goes_on_after_its_server_failed(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(url_of(server.conninfo, "failing")) as program:
        await asyncio.to_thread(server.stop, immediately=True)
        await until(lambda: not program.hub.connected)
        with pytest.raises(telex.Timeout) as failed:
            await program.hub.topic("late").publish("late", timeout=0.3)
        for part in ("0.3 s", "has been lost since", "see that the server runs"):
            assert part in str(failed.value)
        waiting = asyncio.ensure_future(program.publish(timeout=60))
        await asyncio.to_thread(server.start)
        await waiting
        await program.check(2)
        assert program.states == ["disconnected", "connected"]
        assert await program.hub.topics("late") in ([], ["late"])
    said = of_the_connection(caplog)
    assert [level for level, _ in said] == [logging.WARNING, logging.INFO], said
    assert "is lost" in said[0][1]
    assert "see that the server runs" in said[0][1]
    assert "is restored after" in said[1][1]


async def test_a_program_does_not_notice_that_its_connections_were_ended(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(url_of(server.conninfo, "ended")) as program:
        async with await psycopg.AsyncConnection.connect(server.conninfo, autocommit=True) as connection:
            for number in range(2, 5):
                await connection.execute(TERMINATE)
                await program.check(number)
        assert program.states == []
    assert of_the_connection(caplog) == []


async def test_a_silent_network_is_an_outage(server: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(server.conninfo)
    async with (
        proxy(Path(str(parts["host"])) / ".s.PGSQL.5432") as between,
        running(f"postgresql://telex@127.0.0.1:{between.port}/postgres?schema=silent") as program,
    ):
        between.hold()
        waiting = asyncio.ensure_future(program.publish(timeout=60))
        await until(lambda: not program.hub.connected)
        between.release()
        await waiting
        await program.check(2)
        assert program.states == ["disconnected", "connected"]
        between.drop()
        await program.check(3)
    assert [level for level, text in of_the_connection(caplog) if "is lost" in text] == [logging.WARNING]


async def test_a_hub_whose_server_is_silent_closes_in_little_more_than_its_close_timeout(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Event()

    async def insert(content: int, tx: telex.Transaction) -> None:
        begun.set()
        while True:
            await tx.execute("SELECT 1")

    async with proxy(server.folder / ".s.PGSQL.5432") as between:
        async with running(
            f"postgresql://telex@127.0.0.1:{between.port}/postgres?schema=closing", close_timeout=0.2
        ) as program:
            hub = program.hub
            hub.on("rows", group="rows", tx=True, run_in="loop")(insert)
            await hub.topic("rows").publish(1)
            await begun.wait()
            between.hold()
            before = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - before < 0.2 + 2 + 1.5
    assert "the engine does not answer while the hub closes, and is closed now" in caplog.messages
