"""The outbox of a schema: messages that a program writes in a transaction of its own."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import telex
from tests.support.loops import until
from tests.support.postgres import url_of

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    schema = f"t{uuid4().hex}"
    yield url_of(postgres, schema)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


async def test_psycopg_commits_and_rolls_back(url: str, postgres: str) -> None:
    def write(hub: telex.Hub) -> list[str]:
        with psycopg.connect(postgres) as connection:
            hub.join(connection).publish("orders", "rolled back")
            connection.rollback()
            tx = hub.join(connection)
            return [tx.publish("orders", {"id": n}, key="k", headers={"a": "b"}) for n in range(20)]

    async with telex.Hub(url) as hub, hub.topic("orders").subscribe() as inbox:
        ids = await asyncio.to_thread(write, hub)
        found = [await inbox.receive(timeout=10) for _ in range(20)]
        assert [message.content for message in found] == [{"id": n} for n in range(20)]
        assert [message.id for message in found] == ids
        assert {(message.key, message.headers["a"]) for message in found} == {("k", "b")}
        async with await psycopg.AsyncConnection.connect(postgres) as connection:
            await hub.join(connection).publish("orders", b"bytes")
        assert (await inbox.receive(timeout=10)).content == b"bytes"


async def test_sqlalchemy_commits_and_rolls_back(url: str, postgres: str) -> None:
    where = "postgresql+psycopg://"

    def write(hub: telex.Hub) -> None:
        engine = sqlalchemy.create_engine(where, creator=lambda: psycopg.connect(postgres))
        with Session(engine) as session:
            hub.join(session).publish("orders", "rolled back")
            session.rollback()
        with Session(engine) as session, session.begin():
            hub.join(session).publish("orders", 1)
        engine.dispose()

    async with telex.Hub(url) as hub, hub.topic("orders").subscribe() as inbox:
        await asyncio.to_thread(write, hub)
        engine = create_async_engine(where, async_creator=lambda: psycopg.AsyncConnection.connect(postgres))
        async with AsyncSession(engine) as session, session.begin():
            await hub.join(session).publish("orders", 2)
        await engine.dispose()
        assert [(await inbox.receive(timeout=10)).content for _ in range(2)] == [1, 2]
        assert inbox.waiting == 0


async def test_a_command_is_carried_out(url: str, postgres: str) -> None:
    hub = telex.Hub(url)

    @hub.command("bill", once=True)
    async def bill(amount: int) -> int:
        return amount + 1

    def write() -> str:
        with psycopg.connect(postgres) as connection:
            id: str = hub.join(connection).send("bill", 5, key="order-1")
            return id

    async with hub, hub.follow("bill") as outcomes:
        id = await asyncio.to_thread(write)
        outcome = await anext(aiter(outcomes))
        assert isinstance(outcome, telex.Outcome)
        assert (outcome.id, outcome.result) == (id, 6)


async def test_a_command_of_a_transaction_is_kept_until_a_worker_comes(url: str, postgres: str) -> None:
    async with telex.Hub(url) as hub:
        hub.retain("$command:>", messages=2)
        async with hub.topic("$command:bill:request").subscribe() as requests:
            with psycopg.connect(postgres) as connection:
                tx = hub.join(connection)
                for number in range(20):
                    tx.send("bill", number)
                connection.commit()
            for _ in range(20):
                await requests.receive(timeout=10)
        assert [(info.pattern, info.lag) for info in await hub.groups.list()] == [("$command:bill:request", 20)]
    ran: list[object] = []
    serving = telex.Hub(url)
    serving.command("bill")(ran.append)
    async with serving:
        await until(lambda: len(ran) >= 20)
    assert ran == list(range(20))


async def test_connections_of_sqlalchemy_that_commit_each_statement_are_refused(url: str, postgres: str) -> None:
    async with telex.Hub(url) as hub, hub.topic("orders").subscribe() as inbox:
        where = "postgresql+psycopg://"
        engine = create_async_engine(
            where, async_creator=lambda: psycopg.AsyncConnection.connect(postgres), isolation_level="AUTOCOMMIT"
        )
        async with AsyncSession(engine) as session:
            with pytest.raises(telex.BadOption, match="commits each statement"):
                await hub.join(session).publish("orders", 1)
        await engine.dispose()

        def write() -> None:
            plain = sqlalchemy.create_engine(where, creator=lambda: psycopg.connect(postgres))
            own = plain.connect().execution_options(isolation_level="AUTOCOMMIT")
            with own, pytest.raises(telex.BadOption, match="commits each statement"):
                hub.join(own).publish("orders", 1)
            with plain.begin() as connection:
                hub.join(connection).publish("orders", 2)
            plain.dispose()

        await asyncio.to_thread(write)
        assert (await inbox.receive(timeout=10)).content == 2
