"""A program's own transaction, on SQLite: messages are published when it commits, and never when it rolls back."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import telex
import telex.blocking
from tests.support.loops import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as opened:
        yield opened


async def test_messages_of_a_committed_transaction_are_published_in_order(path: Path) -> None:
    def write(hub: telex.Hub) -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            tx = hub.join(connection)
            ids = [tx.publish("orders", {"id": n}, key="k", headers={"a": "b"}) for n in range(50)]
            connection.commit()
        return ids

    async with telex.Hub(f"sqlite:///{path}") as hub, hub.topic("orders").subscribe() as inbox:
        ids = await asyncio.to_thread(write, hub)
        found = [await inbox.receive(timeout=10) for _ in range(50)]
        assert [message.content for message in found] == [{"id": number} for number in range(50)]
        assert [message.id for message in found] == ids
        assert {(message.key, message.headers["a"]) for message in found} == {("k", "b")}


async def test_a_rolled_back_transaction_publishes_nothing(path: Path) -> None:
    def write(hub: telex.Hub) -> None:
        with closing(sqlite3.connect(path)) as connection:
            hub.join(connection).publish("orders", "rolled back")
            connection.rollback()
            hub.join(connection).publish("orders", "committed")
            connection.commit()

    async with telex.Hub(f"sqlite:///{path}") as hub, hub.topic("orders").subscribe() as inbox:
        await asyncio.to_thread(write, hub)
        assert (await inbox.receive(timeout=10)).content == "committed"
        assert inbox.waiting == 0


def test_no_event_loop_and_no_open_hub_are_needed(path: Path) -> None:
    url = f"sqlite:///{path}"
    with telex.blocking.Hub(url) as hub:
        hub.topic("orders").publish(0)
    with closing(sqlite3.connect(path)) as connection:
        telex.Hub(url).join(connection).publish("orders", 1)
        connection.commit()
    with telex.blocking.Hub(url) as hub, hub.topic("orders").subscribe(start="earliest") as inbox:
        assert [inbox.receive(timeout=10).content for _ in range(2)] == [0, 1]


async def test_a_message_for_later_waits_for_its_time(path: Path) -> None:
    when = datetime.now(UTC) + timedelta(seconds=0.2)

    def write(hub: telex.Hub) -> None:
        with closing(sqlite3.connect(path)) as connection:
            hub.join(connection).publish_at("later", 1, when)
            connection.commit()

    async with telex.Hub(f"sqlite:///{path}") as hub, hub.topic("later").subscribe() as inbox:
        await asyncio.to_thread(write, hub)
        message = await inbox.receive(timeout=10)
        assert message.timestamp >= when - timedelta(milliseconds=1)


async def test_a_command_of_a_transaction_is_carried_out_once_per_key(path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{path}")
    ran: list[int] = []

    @hub.command("bill", once=True)
    async def bill(amount: int) -> int:
        ran.append(amount)
        return amount + 1

    def write() -> str:
        with closing(sqlite3.connect(path)) as connection:
            id: str = hub.join(connection).send("bill", 5, key="order-1")
            connection.commit()
        return id

    async with hub, hub.follow("bill") as outcomes:
        id = await asyncio.to_thread(write)
        outcome = await anext(aiter(outcomes))
        assert isinstance(outcome, telex.Outcome)
        assert (outcome.id, outcome.result) == (id, 6)
        assert await hub.call("bill", 5, key="order-1") == 6
    assert ran == [5]


async def test_a_command_of_a_transaction_is_kept_until_a_worker_comes(path: Path) -> None:
    url = f"sqlite:///{path}"

    def write(hub: telex.Hub) -> None:
        with closing(sqlite3.connect(path)) as connection:
            tx = hub.join(connection)
            for number in range(20):
                tx.send("bill", number)
            connection.commit()

    async with telex.Hub(url) as hub:
        hub.retain("$command:>", messages=2)
        await asyncio.to_thread(write, hub)
        async with hub.topic("$command:bill:request").subscribe(start="earliest") as requests:
            for _ in range(20):
                await requests.receive(timeout=10)
        await hub.topic("$command:bill:request").publish("the last")  # retention runs
    ran: list[object] = []
    serving = telex.Hub(url)
    serving.command("bill")(ran.append)
    async with serving:
        await until(lambda: len(ran) > 20)
    assert ran == [*range(20), "the last"]


async def test_a_rolled_back_command_makes_no_group(path: Path) -> None:
    def write(hub: telex.Hub) -> None:
        with closing(sqlite3.connect(path)) as connection:
            hub.join(connection).send("bill", 1)
            connection.rollback()

    async with telex.Hub(f"sqlite:///{path}") as hub:
        await asyncio.to_thread(write, hub)
        assert await hub.groups.list() == []


def test_a_connection_of_sqlalchemy_that_commits_each_statement_is_refused(path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{path}")
    with telex.blocking.Hub(hub.url):
        engine = sqlalchemy.create_engine(hub.url, isolation_level="AUTOCOMMIT")
        other = sqlalchemy.create_engine(hub.url)
        with engine.connect() as connection, pytest.raises(telex.BadOption, match="leave out isolation_level"):
            hub.join(connection).publish("orders", 1)
        with Session(engine) as session, pytest.raises(telex.BadOption, match="commits each statement"):
            hub.join(session).publish("orders", 1)
        own = other.connect().execution_options(isolation_level="AUTOCOMMIT")
        with own, pytest.raises(telex.BadOption, match="commits each statement"):
            hub.join(own).publish("orders", 1)
        for each in (engine, other):
            each.dispose()
    with telex.blocking.Hub(hub.url) as opened:
        assert opened.topics() == []


async def test_an_async_session_of_sqlalchemy_that_commits_each_statement_is_refused(path: Path) -> None:
    async with telex.Hub(f"sqlite:///{path}") as hub:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", isolation_level="AUTOCOMMIT")
        async with AsyncSession(engine) as session:
            with pytest.raises(telex.BadOption, match="commits each statement"):
                await hub.join(session).publish("orders", 1)
        async with engine.connect() as connection:
            with pytest.raises(telex.BadOption, match="commits each statement"):
                await hub.join(connection).publish("orders", 1)
        await engine.dispose()


@pytest.mark.parametrize("wrong", [None, "sqlite:///x.db", object()])
def test_only_connections_are_joined(path: Path, wrong: object) -> None:
    with pytest.raises(telex.BadOption, match=r"give an open connection in a transaction of yours"):
        telex.Hub(f"sqlite:///{path}").join(wrong)


def test_memory_has_no_database_to_join(connection: sqlite3.Connection) -> None:
    with pytest.raises(telex.Misuse, match="does not guarantee `sql`"):
        telex.Hub("memory://").join(connection)


def test_a_connection_without_a_transaction_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, pytest.raises(telex.BadOption) as raised:
        telex.Hub(f"sqlite:///{path}").join(connection)
    assert "BEGIN IMMEDIATE" in str(raised.value)


class Committing(sqlite3.Connection):
    """As of ``sqlite3.connect(autocommit=True)`` in Python 3.12 and newer."""

    autocommit = True


def test_a_connection_that_commits_each_statement_is_refused(path: Path) -> None:
    connecting = closing(sqlite3.connect(path, factory=Committing))
    with connecting as connection, pytest.raises(telex.BadOption) as raised:
        telex.Hub(f"sqlite:///{path}").join(connection)
    assert "BEGIN IMMEDIATE" in str(raised.value)


def test_a_command_whose_content_has_no_json_form_is_refused_with_its_key(connection: sqlite3.Connection) -> None:
    with pytest.raises(telex.ContentError):
        telex.Hub("sqlite:///any.db").join(connection).send("bill", object(), key="k")


def test_content_that_has_no_json_form_is_refused_where_it_is_written(connection: sqlite3.Connection) -> None:
    with pytest.raises(telex.ContentError):
        telex.Hub("sqlite:///any.db").join(connection).publish("orders", object())


def test_a_session_of_sqlalchemy_is_joined(path: Path) -> None:
    url = f"sqlite:///{path}"
    with telex.blocking.Hub(url) as hub:
        hub.topic("orders").publish(0)
    engine = sqlalchemy.create_engine(url)
    joining = telex.Hub(url)
    with Session(engine) as session:
        joining.join(session).publish("orders", "rolled back")
        session.rollback()
    with Session(engine) as session, session.begin():
        joining.join(session).publish("orders", {"id": 1}, headers={"a": "b"}, key="k")
    with engine.begin() as connection:
        joining.join(connection).publish("orders", b"bytes")
    engine.dispose()
    with telex.blocking.Hub(url) as hub, hub.topic("orders").subscribe(start="earliest") as inbox:
        assert [inbox.receive(timeout=10).content for _ in range(3)] == [0, {"id": 1}, b"bytes"]


async def test_an_async_session_of_sqlalchemy_is_joined(path: Path) -> None:
    url = f"sqlite:///{path}"
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with telex.Hub(url) as hub, hub.topic("orders").subscribe() as inbox:
        async with AsyncSession(engine) as session, session.begin():
            id = await hub.join(session).publish("orders", {"id": 1})
            assert isinstance(id, str)
        async with AsyncSession(engine) as session:
            await hub.join(session).publish("orders", "rolled back")
            await session.rollback()
        async with engine.begin() as connection:
            await hub.join(connection).publish("orders", {"id": 2})
        assert [(await inbox.receive(timeout=10)).content for _ in range(2)] == [{"id": 1}, {"id": 2}]
    await engine.dispose()
