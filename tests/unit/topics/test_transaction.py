"""Transactions of a hub: messages are published together with records, or not at all."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines.contract.store import inside
from tests.support.internals import engine_transaction_of, records_of
from tests.support.loops import idle


async def test_a_record_that_was_changed_meanwhile_fails_the_transaction_in_memory() -> None:
    async with telex.Hub() as hub:
        records = records_of(hub)
        assert records is not None
        revision = await records.put("b", "k", b"0", 0)
        assert revision is not None
        tx = await hub.transaction().__aenter__()
        assert await engine_transaction_of(tx).put("b", "k", b"mine", revision) is not None
        await tx.publish("t", 1)
        assert await records.put("b", "k", b"theirs", revision) is not None
        with pytest.raises(telex.EngineFailed, match="changed meanwhile"):
            await tx.__aexit__(None, None, None)
        found = await records.get("b", "k")
        assert found is not None
        assert found.value == b"theirs"
        assert hub.topic("t").statistics().published == 0


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/transactions.db"


async def kept(hub: telex.Hub, topic: str) -> list[object]:
    return [message.content async for message in hub.topic(topic).history()]


async def test_messages_are_published_together_when_it_commits(url: str) -> None:
    async with telex.Hub(url) as hub, hub.topic(">").subscribe() as inbox:
        async with hub.transaction() as tx:
            await tx.publish("a", 1, id="x", headers={"h": "v"}, key="k")
            await tx.publish(hub.topic("b"), 2)
            await idle()
            assert inbox.waiting == 0, "nobody has seen them before the commit"
        found = [await inbox.receive(5) for _ in range(2)]
        assert [(message.topic, message.content) for message in found] == [("a", 1), ("b", 2)]
        assert (found[0].id, dict(found[0].headers), found[0].key) == ("x", {"h": "v"}, "k")


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError, KeyboardInterrupt])
async def test_nothing_is_published_when_it_is_left_with_an_error(url: str, error: type[BaseException]) -> None:
    async with telex.Hub(url) as hub:
        tx = hub.transaction()
        await tx.__aenter__()
        await tx.publish("a", 1)
        await tx.__aexit__(error, error(), None)
        assert await kept(hub, "a") == []
        async with hub.transaction() as again:
            await again.publish("a", 2)
        assert await kept(hub, "a") == [2]


async def test_one_bad_message_leaves_the_others_to_be_decided(url: str) -> None:
    async with telex.Hub(url) as hub:
        hub.topic("typed", int)
        async with hub.transaction() as tx:
            await tx.publish("a", 1)
            for topic, content, error in (
                ("typed", "x", telex.ContentError),
                ("a b", 1, telex.BadName),
                (5, 1, telex.BadOption),
            ):
                with pytest.raises(error):
                    await tx.publish(topic, content)  # type: ignore[arg-type]
        assert await kept(hub, "a") == [1]


async def test_it_is_used_inside_of_its_block_only(url: str) -> None:
    async with telex.Hub(url) as hub:
        tx = hub.transaction()

        async def refused() -> None:
            for use in (tx.publish("a", 1), tx.execute("SELECT 1"), tx.run(print)):
                with pytest.raises(telex.Closed, match="used inside"):
                    await use

        await refused()
        async with tx:
            await tx.publish("a", 1)
        await refused()


async def test_an_engine_without_sql_names_the_guarantee() -> None:
    async with telex.Hub() as hub, hub.transaction() as tx:
        for use in (tx.execute("SELECT 1"), tx.run(lambda connection: None)):
            with pytest.raises(telex.Misuse, match="sql"):
                await use


async def waits(connection: object) -> None: ...


@pytest.mark.parametrize("function", [None, "SELECT 1", waits])
async def test_a_function_of_the_connection_does_not_wait(url: str, function: Any) -> None:
    async with telex.Hub(url) as hub, hub.transaction() as tx:
        with pytest.raises(telex.BadOption) as raised:
            await tx.run(function)
        assert raised.value.option == "function"


async def test_code_inside_knows_the_transaction_and_code_after_does_not(url: str) -> None:
    async with telex.Hub(url) as hub:
        assert inside.get() == ()
        async with hub.transaction() as tx:
            (entered,) = inside.get()
            assert entered.transaction is engine_transaction_of(tx)
            assert entered.task is asyncio.current_task()
        assert inside.get() == ()
