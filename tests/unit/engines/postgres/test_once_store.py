"""`PostgresStore`: records by compare-and-set, and handlers whose writes commit with their outcome."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, time
from typing import Any
from uuid import uuid4

import psycopg_pool
import pytest
from psycopg.rows import dict_row

import telex
from telex.commands.transports import pending
from telex.engines import Record
from telex.once import OnceStore, PostgresStore
from telex.once import leases as claims
from telex.once.machine import Entry, encode, fingerprint
from tests.support.loops import until

B = "once"
pytestmark = pytest.mark.slow
assert psycopg_pool.__version__  # imported here: inside of an event loop that would block it
Make = Callable[[], PostgresStore]


@pytest.fixture
def make(postgres: str) -> Make:
    """Stores on one table of the test's own."""
    table = f"t{uuid4().hex}"
    return lambda: PostgresStore(postgres, table=table, connections=5)


@asynccontextmanager
async def opened(store: PostgresStore) -> AsyncIterator[PostgresStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def execute(store: PostgresStore, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    async with store.transaction() as tx:
        connection: Any = tx.connection
        cursor = await connection.execute(sql, parameters)
        return list(await cursor.fetchall()) if cursor.description else []


async def test_records_are_compared_and_set(make: Make) -> None:
    async with opened(make()) as store:
        kept: OnceStore = store
        assert await kept.get(B, "k") is None
        assert await kept.put(B, "k", b"0", 7) is None, "there is none to compare with"
        first = await kept.put(B, "k", b"\x00\xff", 0)
        assert first
        assert await kept.get(B, "k") == Record(b"\x00\xff", first)
        assert await kept.put(B, "k", b"2", 0) is None
        assert await kept.put(B, "k", b"2", first + 1) is None
        second = await kept.put(B, "k", b"2", first)
        assert second is not None
        assert second > first
        assert await kept.delete(B, "k", first) is False
        assert await kept.delete(B, "k", second) is True
        assert await kept.delete(B, "k", second) is False
        third = await kept.put(B, "k", b"3", 0)
        assert third is not None
        assert third > second, "it fences, also after it was deleted"
        assert await kept.get("another", "k") is None
        for key in ("", "ü:*>%/ '", "k" * 500):
            assert await kept.put(B, key, bytes(200_000), 0)


async def test_one_of_many_is_first(make: Make) -> None:
    async with opened(make()) as one, opened(make()) as two:
        revision = 0
        for _ in range(5):
            puts = [store.put(B, "k", b"%d" % n, revision) for n in range(20) for store in (one, two)]
            (won,) = [result for result in await asyncio.gather(*puts) if result is not None]
            assert won > revision
            revision = won


async def test_expired_records_are_deleted(make: Make) -> None:
    async with opened(make()) as store:
        now = time()
        assert await store.put(B, "past", b"1", 0, now - 1)
        assert await store.put(B, "never", b"1", 0)
        for n in range(5):
            assert await store.put(B, f"later {n}", b"1", 0, now + 3600)
        assert await store.get(B, "past") is None
        assert await store.get(B, "never") is not None
        assert await store.get(B, "later 0") is not None


async def test_a_transaction_is_whole_or_not_at_all(make: Make) -> None:
    async with opened(make()) as store:
        table = f"u{uuid4().hex}"
        await execute(store, f"CREATE TABLE {table} (n int)")
        with suppress(ZeroDivisionError):
            async with store.transaction() as tx:
                connection: Any = tx.connection
                await connection.execute(f"INSERT INTO {table} VALUES (1)")
                assert await tx.put(B, "k", b"1", 0, None)
                raise ZeroDivisionError
        assert await store.get(B, "k") is None
        assert await execute(store, f"SELECT count(*) FROM {table}") == [(0,)]
        async with store.transaction() as tx:
            assert await tx.put(B, "k", b"1", 5, None) is None
            assert await tx.put(B, "k", b"1", 0, None)
            assert await store.get(B, "k") is None, "nobody sees it before it commits"
        assert await store.get(B, "k") is not None


async def test_of_two_transactions_on_a_record_one_wins(make: Make) -> None:
    async with opened(make()) as store:
        revision = await store.put(B, "k", b"0", 0)
        assert revision
        both = asyncio.Barrier(2)

        async def put(value: bytes) -> int | None:
            async with store.transaction() as tx:
                await both.wait()
                return await tx.put(B, "k", value, revision, None)

        results = await asyncio.gather(put(b"1"), put(b"2"))
        assert sorted(result is None for result in results) == [False, True]


async def test_cancelling_leaves_nothing(make: Make) -> None:
    async with opened(make()) as store:
        started = asyncio.Event()

        async def stuck() -> None:
            async with store.transaction() as tx:
                assert await tx.put(B, "k", b"1", 0, None)
                started.set()
                connection: Any = tx.connection
                await connection.execute("SELECT pg_sleep(3)")

        tasks = [asyncio.create_task(stuck()) for _ in range(3)]
        await started.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await store.get(B, "k") is None
        revision = await store.put(B, "k", b"1", 0)
        assert revision
        for _ in range(10):
            record = await store.get(B, "k")
            assert record == Record(b"1", revision), "the connections are as good as new"


async def test_many_make_the_table_at_once(make: Make) -> None:
    stores = [make() for _ in range(8)]
    await asyncio.gather(*[store.open() for store in stores])
    try:
        puts = await asyncio.gather(*[store.put(B, "k", b"1", 0) for store in stores])
        assert len([put for put in puts if put is not None]) == 1
    finally:
        await asyncio.gather(*[store.close() for store in stores])


async def test_opened_twice_it_is_closed_twice(make: Make) -> None:
    store = make()
    await store.open()
    await store.open()
    await store.close()
    assert await store.get(B, "k") is None
    await store.close()
    with pytest.raises(telex.EngineFailed, match="it is not open"):
        await store.get(B, "k")
    await store.close()


async def test_a_role_that_may_make_no_table(postgres: str) -> None:
    """It uses the table that is there, and is told what to do where there is none."""
    role = f"app_{uuid4().hex}"
    table = f"t{uuid4().hex}"
    async with opened(PostgresStore(postgres, table=table)) as owner:
        await execute(owner, f"CREATE ROLE {role} LOGIN")
        await execute(owner, "REVOKE CREATE ON SCHEMA public FROM public")
        await execute(owner, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}")
        await execute(owner, f"GRANT USAGE ON SEQUENCE {table}_revision TO {role}")
        conninfo = postgres.replace("user=telex", f"user={role}")
        async with opened(PostgresStore(conninfo, table=table)) as store:
            first = await store.put(B, "k", b"1", 0, time() + 60)
            assert first
            assert await store.get(B, "k") == Record(b"1", first)
            second = await store.put(B, "k", b"2", first)
            assert second
            assert await store.delete(B, "k", second)
        with pytest.raises(telex.EngineFailed, match=r"permission denied.*GRANT SELECT, INSERT, UPDATE, DELETE"):
            await PostgresStore(conninfo, table=f"t{uuid4().hex}").open()


async def cut(store: PostgresStore, pool: Any) -> None:
    """End the connections of a pool from the server's side, as a restart or a firewall does."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(pool.connection()) for _ in range(pool.get_stats()["pool_size"])]
        for connection in connections:
            await execute(store, "SELECT pg_terminate_backend(%s, 5000)", connection.info.backend_pid)


async def test_connections_that_were_cut_are_replaced(make: Make) -> None:
    store, hub = make(), telex.Hub()

    @hub.command("pay", once=True, store=store)
    async def pay(cents: int, tx: Any) -> int:
        await tx.execute("SELECT 1")
        return cents

    async with hub:
        await asyncio.gather(*[hub.call("pay", 1, key=f"before {n}") for n in range(8)])  # so that there are many
        async with opened(make()) as other:
            await cut(other, store._pool)
            await cut(other, store._for_handlers)
        outcomes = await asyncio.gather(*[hub.call("pay", n, key=f"after {n}", timeout=30) for n in range(8)])
        assert outcomes == list(range(8))
        assert hub.statistics().commands[0].failed == 0


async def test_a_step_that_fails_on_a_connection_that_is_there_is_not_tried_again(make: Make) -> None:
    async with opened(make()) as store:
        tries: list[int] = []

        async def step(connection: Any) -> None:
            tries.append(1)
            await connection.execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")

        with pytest.raises(telex.EngineFailed, match="canceling"):
            await store._do("a test", step)
        assert len(tries) == 1

        async def strange(connection: Any) -> None:
            await connection.execute("EXECUTE telex_1")  # a pooler has given it to a connection that does not know it

        with pytest.raises(telex.EngineFailed, match="pgbouncer=True"):
            await store._do("a test", strange)


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_behind_pgbouncer_nothing_is_prepared(postgres: str, pgbouncer: bool) -> None:
    table = f"t{uuid4().hex}"
    async with opened(PostgresStore(postgres, table=table, pgbouncer=pgbouncer)) as store:
        prepared = "SELECT count(*) FROM pg_prepared_statements"
        assert store._pool is not None
        for _ in range(40):
            await store.get(B, "k")
        async with store._pool.connection() as connection:
            (found,) = await (await connection.execute(prepared)).fetchone() or (None,)
        for _ in range(10):
            async with store.transaction() as tx:
                await tx.put(B, "k", b"1", 5, None)
        ((in_transactions,),) = await execute(store, prepared)
    assert ((found or 0) > 0, in_transactions > 0) == (not pgbouncer, not pgbouncer)


async def test_nobody_there(tmp_path: Path) -> None:
    store = PostgresStore(f"host={tmp_path} user=me password=secret dbname=orders", timeout=5)
    with pytest.raises(telex.EngineFailed, match="No such file") as caught:
        await store.open()
    assert "secret" not in str(caught.value) + repr(store)
    await store.close()


def test_mistakes() -> None:
    with pytest.raises(telex.BadOption, match="lower-case"):
        PostgresStore("", table='x"; DROP')
    with pytest.raises(telex.BadOption, match="at least 1"):
        PostgresStore("", connections=0)
    with pytest.raises(telex.BadOption, match="True for a server behind a pooler"):
        PostgresStore("", pgbouncer="yes")  # type: ignore[arg-type]
    with pytest.raises(telex.BadOption, match="libpq") as caught:
        PostgresStore("password=secret nonsense")
    assert "secret" not in str(caught.value)


def test_without_psycopg_the_extra_is_named() -> None:
    script = "import sys; sys.modules['psycopg'] = None\nfrom telex.once import PostgresStore\nPostgresStore('')"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'telex[postgres]'" in run.stderr


async def test_a_handler_writes_once(make: Make) -> None:
    store, hub = make(), telex.Hub()
    table = f"u{uuid4().hex}"
    fail = [True]

    @hub.command("charge", once=True, backoff=0.0, store=store)
    async def charge(amount: int, tx: Any) -> int:
        await tx.execute(f"INSERT INTO {table} VALUES (%s)", (amount,))
        if fail:
            fail.pop()
            raise ConnectionError("at the worst moment")
        return amount

    async with hub:
        await execute(store, f"CREATE TABLE {table} (amount int)")
        assert await asyncio.gather(*[hub.call("charge", 5, key="a") for _ in range(10)]) == [5] * 10
        assert await execute(store, f"SELECT amount FROM {table}") == [(5,)]
        assert hub.statistics().commands[0].executed == 2
    async with telex.Hub() as other:

        @other.command("charge", once=True, store=store)
        async def never(amount: int) -> int:
            raise AssertionError("it has its outcome")

        outcome = await (await other.send("charge", 5, key="a")).outcome(timeout=30)
        assert (outcome.result, outcome.attempt, outcome.replayed) == (5, 2, True)
        with pytest.raises(telex.KeyConflict):
            await other.call("charge", 6, key="a")


async def test_two_programs_run_it_once(make: Make) -> None:
    ran: list[int] = []
    reached, gate = asyncio.Event(), asyncio.Event()

    def worker() -> telex.Hub:
        hub = telex.Hub()

        @hub.command("build", once=True, lease=1, store=make())
        async def build(number: int) -> int:
            ran.append(number)
            reached.set()
            await gate.wait()
            return number

        return hub

    async with worker() as one, worker() as two:
        tickets = [await hub.send("build", 3, key="a") for hub in (one, two)]
        await reached.wait()
        gate.set()
        outcomes = [await ticket.outcome(timeout=30) for ticket in tickets]
    assert [outcome.result for outcome in outcomes] == [3, 3]
    assert sorted(outcome.replayed for outcome in outcomes) == [False, True]
    assert ran == [3]


async def test_a_caller_that_does_not_wait_learns_that_another_program_runs_the_command(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that share nothing but the store: its key is in progress until its lease has run out, and no longer."""
    store, hub = make(), telex.Hub()
    jumps = [0.0]
    for module in (pending, claims):
        monkeypatch.setattr(module, "monotonic", lambda: monotonic() + jumps[0])

    @hub.command("build", once=True, lease=30, store=store)
    async def build(number: int, ctx: telex.CommandContext[int]) -> tuple[int, int]:
        return number, ctx.attempt

    async with hub:
        entry = Entry("running", fingerprint("build", 1, 5), 1, "dead", 30.0)
        assert await store.put("once:build", "a", encode(entry), 0)
        for later in (0, 29):
            jumps[0] += later
            with pytest.raises(telex.InProgress):
                await hub.call("build", 5, key="a", duplicate="reject", timeout=60)
        jumps[0] += 2
        ticket = await hub.send("build", 5, key="a", duplicate="reject", timeout=60)
        with pytest.raises(telex.InProgress):
            await hub.send("build", 5, key="a", duplicate="reject")
        await until(lambda: hub.statistics().commands[0].waited != 0)  # nothing tells of it
        jumps[0] += 31
        assert await ticket.result(timeout=30) == (5, 2)


async def test_a_stale_worker_writes_nothing(make: Make) -> None:
    store, hub = make(), telex.Hub()
    table = f"u{uuid4().hex}"

    @hub.command("charge", once=True, store=store, lease=60)
    async def charge(amount: int, tx: Any) -> int:
        await tx.execute(f"INSERT INTO {table} VALUES (%s)", (amount,))
        # Another worker, by whose clock the lease has run out, takes over meanwhile, and is done.
        record = await store.get("once:charge", "a")
        assert record is not None
        value = record.value.replace(b'"running"', b'"done"').replace(b'"attempt":1', b'"attempt":2')
        assert await store.put("once:charge", "a", value[:-1] + b',"result":9,"expires":9e9}', record.revision)
        return amount

    async with hub:
        await execute(store, f"CREATE TABLE {table} (amount int)")
        assert await hub.call("charge", 5, key="a", timeout=30) == 9
        assert await execute(store, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_row_factory_of_a_handler_ends_with_its_transaction(postgres: str) -> None:
    store = PostgresStore(postgres, table=f"t{uuid4().hex}", connections=1)
    async with opened(store):
        async with store.transaction() as tx:
            connection: Any = tx.connection
            connection.row_factory = dict_row
            assert await (await connection.execute("SELECT 1 AS one")).fetchone() == {"one": 1}
            assert await tx.put(B, "k", b"1", 0, None)
        assert await execute(store, "SELECT 1 AS one") == [(1,)]
