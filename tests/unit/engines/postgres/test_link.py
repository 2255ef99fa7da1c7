"""The shared state of an open engine: failing, and statements that are tried again."""

import asyncio
import re

import psycopg
import pytest

import telex
from telex.engines.postgres import PostgresEngine
from telex.engines.postgres.address import parse
from telex.engines.postgres.link import ServerLink
from telex.errors import EngineFailed
from telex.testing.conformance.rig import Rig
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


@pytest.mark.slow
async def test_the_engine_fails_when_its_schema_is_dropped(postgres: str) -> None:
    url = url_of(postgres, "dropped")
    async with telex.Hub(url) as hub:
        async with admin(postgres) as connection:
            await connection.execute("DROP SCHEMA dropped CASCADE")
        with pytest.raises(EngineFailed):
            await hub.topic(T).publish("a")
        with pytest.raises(telex.Closed):
            await hub.topic(T).publish("b")


def opened() -> tuple[ServerLink, Rig]:
    """A link without connections, and its events."""
    rig = Rig(PostgresEngine.from_url("postgresql://me@db/shop"))
    link = ServerLink(parse("postgresql://me@db/shop"))
    link.open(rig, rig)
    link.closed = None
    return link, rig


async def test_the_first_failure_is_reported_and_everyone_gets_a_new_copy_of_it() -> None:
    link, rig = opened()
    failures: list[str] = []
    link.on_failed = lambda: failures.append("failed")
    first = EngineFailed("using the server", "the schema is gone")
    link.fail(first)
    link.fail(EngineFailed("using the server", "later"))
    assert (rig.errors, failures) == ([first], ["failed"])
    one, two = link.refusal(), link.refusal()
    assert str(one) == str(two) == str(first)
    assert one is not two
    with pytest.raises(EngineFailed, match="the schema is gone"):
        await link.execute("reading", b"SELECT 1")


async def test_only_a_permanent_error_fails_the_engine() -> None:
    link, rig = opened()
    link.check_fatal(psycopg.errors.DeadlockDetected())
    assert rig.errors == []
    link.check_fatal(psycopg.errors.UndefinedTable("relation does not exist"))
    assert len(rig.errors) == 1


async def test_an_exception_of_a_background_task_fails_the_engine() -> None:
    link, rig = opened()

    async def stumble() -> None:
        raise LookupError("a mistake in telex")

    await asyncio.wait({link.start("stumbling", stumble())})
    await asyncio.sleep(0)
    (error,) = rig.errors
    assert isinstance(error.__cause__, LookupError)
    assert link.tasks == set()


async def test_a_failure_says_since_when_the_connection_is_lost() -> None:
    link, rig = opened()
    error = psycopg.OperationalError("connection refused")
    assert "lost since" not in str(link.failure("reading", error))
    link.lost(error)
    since = link.lost_at
    link.lost(error)
    assert link.lost_at == since, "the time is that of the first problem"
    failed = link.failure("reading", error)
    assert re.search(r"lost since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", failed.problem)
    assert failed.__cause__ is error
    link.reached()
    link.reached()
    assert link.lost_at is None
    assert rig.connections[-1] == "connected"
    assert rig.connections.count("connected") == 1


async def test_closing_ends_the_pause_before_another_attempt() -> None:
    link, _ = opened()
    pausing = asyncio.ensure_future(link.pause(60.0))
    await asyncio.sleep(0)
    assert not pausing.done()
    link.ended.set()
    await asyncio.wait_for(pausing, 5)
    await asyncio.wait_for(link.pause(60.0), 5)


async def test_a_link_that_is_not_open_refuses_statements() -> None:
    link = ServerLink(parse("postgresql://me@db/shop"))
    assert not link.opening
    link.loop = asyncio.get_running_loop()
    with pytest.raises(telex.Closed, match="not open"):
        await link.execute("reading", b"SELECT 1")
