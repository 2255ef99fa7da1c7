"""A feature whose guarantee an engine lacks is refused by the name of the guarantee, where it is declared or called."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import telex
from telex.engines import Guarantees
from telex.engines.memory.engine import MemoryEngine
from tests.support.pretend import PretendEngine, Server

T = "orders:1"
Feature = Callable[[telex.Hub], Awaitable[object] | object]


def hub_without(*lacking: str) -> telex.Hub:
    """A hub on an engine that declares all guarantees but these."""
    engine = PretendEngine(Server())
    declared = {"sql": True} | dict.fromkeys(lacking, False)
    engine.guarantees = msgspec.structs.replace(engine.guarantees, **declared)
    return telex.Hub(engine)


def once(hub: telex.Hub) -> None:
    hub.command("bill", once=True, run_in="loop")(print)


def once_in_a_transaction(hub: telex.Hub) -> None:
    async def bill(number: int, tx: telex.Transaction) -> None: ...

    hub.command("bill", once=True)(bill)


async def ship(message: telex.Message[Any], tx: telex.Transaction) -> None: ...


def group(hub: telex.Hub) -> None:
    hub.on(T, group="g", run_in="loop")(print)


def group_in_transactions(hub: telex.Hub) -> None:
    hub.on(T, group="g", tx=True, run_in="loop")(ship)


def join(hub: telex.Hub) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        hub.join(connection)


async def sql(hub: telex.Hub, act: Callable[[telex.Transaction], Awaitable[object]]) -> None:
    async with hub.transaction() as tx:
        await act(tx)


DECLARED: dict[str, tuple[tuple[Feature, str], ...]] = {
    "ordered": ((lambda hub: hub.on(T, overflow="latest", run_in="loop")(print), "overflow='latest'"),),
    "counted_gaps": ((lambda hub: hub.on(T, overflow="catch_up", run_in="loop")(print), "overflow='catch_up'"),),
    "once_per_id": (
        (lambda hub: hub.every("1s", name="tick"), "the trigger 'tick'"),
        (lambda hub: hub.command("bill", run_in="loop")(print), "the command 'bill'"),
    ),
    "groups": (
        (group, "groups"),
        (lambda hub: hub.command("bill", run_in="loop")(print), "the command 'bill'"),
        (lambda hub: hub.every("1s", name="tick"), "the trigger 'tick'"),
    ),
    "key_order": ((lambda hub: hub.command("bill", run_in="loop")(print), "the command 'bill'"),),
    "fenced_settle": ((group_in_transactions, "tx=True"),),
    "backlog_kept": ((lambda hub: hub.command("bill", run_in="loop")(print), "the command 'bill'"),),
    "records": (
        (once, "the command 'bill'"),
        (lambda hub: hub.variable("count", 0), "the variable 'count'"),
        (lambda hub: hub.every("1s", name="tick"), "the trigger 'tick'"),
    ),
    "transactions": ((group_in_transactions, "tx=True"),),
    "record_transactions": (
        (once_in_a_transaction, "the argument tx of the command 'bill'"),
        (lambda hub: hub.variable("count", 0), "the variable 'count'"),
        (lambda hub: hub.every("1s", name="tick"), "the trigger 'tick'"),
    ),
    "shared": ((join, "join"),),
    "sql": ((join, "join"),),
}
"""Features that are refused before the hub is open, and their names in the error."""
CALLED: dict[str, tuple[tuple[Feature, str], ...]] = {
    "durable": ((lambda hub: hub.adopt([telex.Message.new("x", topic=T)]), "adopt"),),
    "ordered": ((lambda hub: hub.topic(T).subscribe(overflow="latest"), "overflow='latest'"),),
    "history": (
        (lambda hub: hub.topic(T).history(), "topic.history()"),
        (lambda hub: hub.topic(T).subscribe(start="earliest"), "subscribe(start=)"),
        (lambda hub: hub.topic(T).subscribe(start=timedelta(1)), "subscribe(start=)"),
    ),
    "counted_gaps": (
        (lambda hub: hub.topic(T).subscribe(overflow="catch_up"), "overflow='catch_up'"),
        (lambda hub: hub.topic(T).subscribe(start=telex.Position(1, "e")), "a Position as start"),
        (lambda hub: hub.topic(T).history(start=telex.Position(1, "e")), "a Position as start"),
    ),
    "once_per_id": (
        (lambda hub: hub.adopt([telex.Message.new("x", topic=T)]), "adopt"),
        (lambda hub: hub.topic(T).publish("x", id="1"), "publish(id=)"),
        (lambda hub: sql(hub, lambda tx: tx.publish(T, "x", id="1")), "publish(id=)"),
    ),
    "groups": ((lambda hub: hub.groups.list(), "groups"),),
    "key_order": ((lambda hub: hub.topic(T).publish("x", key="k"), "publish(key=)"),),
    "backlog_kept": ((lambda hub: hub.send("bill"), "the command 'bill'"),),
    "records": ((lambda hub: hub.call("bill"), "the command 'bill'"),),
    "delayed": ((lambda hub: hub.topic(T).publish("x", delay=5), "publish(delay=) or publish(at=)"),),
    "transactions": ((lambda hub: hub.transaction(), "transactions"),),
    "sql": (
        (lambda hub: sql(hub, lambda tx: tx.execute("SELECT 1")), "SQL in a transaction"),
        (lambda hub: sql(hub, lambda tx: tx.run(print)), "SQL in a transaction"),
    ),
}
"""Features that are refused on an open hub."""


def test_every_guarantee_has_a_feature_that_needs_it() -> None:
    assert set(DECLARED) | set(CALLED) == set(Guarantees.__struct_fields__)


async def refused(hub: telex.Hub, feature: Feature, named: str, guarantee: str) -> None:
    async def use() -> None:
        result = feature(hub)
        if isinstance(result, Awaitable):
            await result

    with pytest.raises(telex.Misuse) as failed:
        await use()
    text = str(failed.value)
    assert text.startswith(f"cannot use {named}")
    assert f"the engine does not guarantee `{guarantee}`; use another one, such as sqlite:///file.db" in text


@pytest.mark.parametrize("guarantee", DECLARED)
async def test_a_declaration_is_refused_by_the_name_of_the_guarantee(guarantee: str) -> None:
    for feature, named in DECLARED[guarantee]:
        await refused(hub_without(guarantee), feature, named, guarantee)
        await refused(hub_without("durable", guarantee), feature, named, guarantee)  # no other guarantee counts


@pytest.mark.parametrize("guarantee", CALLED)
async def test_a_call_is_refused_by_the_name_of_the_guarantee(guarantee: str) -> None:
    for feature, named in CALLED[guarantee]:
        async with hub_without(guarantee) as hub:
            await refused(hub, feature, named, guarantee)


async def test_plain_topics_work_without_any_guarantee() -> None:
    async with hub_without(*Guarantees.__struct_fields__) as hub, hub.topic(T).subscribe() as inbox:
        received: list[str] = []
        hub.on(T)(received.append)
        await hub.topic(T).publish("x")
        assert (await inbox.receive()).content == "x"


async def test_records_elsewhere_need_no_records_of_the_engine() -> None:
    class Elsewhere:
        """A store, as far as a declaration looks at it."""

        transaction = put = None

    engine = MemoryEngine()  # its commands stay in this process
    engine.guarantees = msgspec.structs.replace(engine.guarantees, records=False)
    hub = telex.Hub(engine)
    await refused(hub, once, "once=True (or give store=)", "records")
    hub.command("bill", once=True, store=Elsewhere(), run_in="loop")(print)  # type: ignore[arg-type]  # as above
