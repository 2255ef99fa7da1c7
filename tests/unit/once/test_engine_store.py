"""The records of commands on the engine of their hub."""

import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import telex
from telex.engines.memory.engine import MemoryEngine
from telex.hub import runtime_of
from telex.once.engine_store import EngineStore
from telex.runtime import Runtime
from tests.support.internals import records_of
from tests.unit.commands.parts import OutOfStock


def test_an_engine_without_records_runs_nothing_once() -> None:
    lacking = msgspec.structs.replace(MemoryEngine.guarantees, records=False)
    engine: Any = SimpleNamespace(records=None, store=None, now=time.time, guarantees=lacking)
    runtime = Runtime(engine, "other://", None)
    with pytest.raises(telex.Misuse, match=r"once=True \(or give store=\) .* does not guarantee `records`"):
        EngineStore(runtime)


async def test_a_transaction_in_memory_publishes_with_the_outcome() -> None:
    hub = telex.Hub()

    @hub.command("place", once=True)
    async def place(number: int, tx: telex.Transaction) -> int:
        await tx.publish("orders", number)
        if number < 0:
            raise OutOfStock("no")
        return number

    async with hub, hub.topic("orders").subscribe() as orders:
        assert await hub.call("place", 1, key="a") == 1
        with pytest.raises(telex.CommandFailed):
            await hub.call("place", -1, key="b")
        assert await hub.call("place", 2, key="c") == 2
        assert [(await orders.receive(timeout=10)).content for _ in range(2)] == [1, 2]


async def test_records_are_those_of_the_engine(url: str) -> None:
    async with telex.Hub(url) as hub:
        store = EngineStore(runtime_of(hub))
        await store.open()
        assert await store.put("b", "k", b"1", 0) == (await records_of(hub).get("b", "k")).revision  # type: ignore[union-attr]
        found = await store.get("b", "k")
        assert found.value == b"1"
        assert not await store.delete("b", "k", found.revision + 1)
        assert await store.delete("b", "k", found.revision)
        assert await records_of(hub).get("b", "k") is None
        assert await store.put("b", "still", b"open", 0)
        await store.close()
        assert await store.get("b", "still") is not None, "the hub closes the engine"


async def test_records_can_be_read_without_waiting_in_memory_only(url: str) -> None:
    async with telex.Hub(url) as hub:
        store = EngineStore(runtime_of(hub))
        assert (store.peek is not None) is (url == "memory://")


async def test_records_and_messages_of_a_transaction_are_stored_together(url: str) -> None:
    async with telex.Hub(url) as hub:
        store = EngineStore(runtime_of(hub))
        async with store.transaction() as tx:
            assert isinstance(tx.connection, telex.Transaction)
            assert await tx.put("b", "k", b"1", 0, None) is not None
            await tx.connection.publish("t", 1)
        assert (await store.get("b", "k")).value == b"1"
        with suppress(ZeroDivisionError):
            async with store.transaction() as tx:
                assert isinstance(tx.connection, telex.Transaction)
                await tx.put("b", "other", b"1", 0, None)
                await tx.connection.publish("t", 2)
                raise ZeroDivisionError
        assert await store.get("b", "other") is None
        assert [message.content async for message in hub.topic("t").history()] == [1]
