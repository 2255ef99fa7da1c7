"""Routers: prefixes, inclusion, and routers in several hubs."""

from collections.abc import Callable
from typing import Any

import pytest

import telex
from telex.middleware import Next


async def test_routers_put_their_prefixes_before_every_pattern() -> None:
    hub, got = telex.Hub(), list[tuple[str, str]]()

    def note(name: str) -> Callable[[telex.Message[Any]], None]:
        def handler(message: telex.Message[Any]) -> None:
            got.append((name, message.topic))

        return handler

    bare, orders, paid = telex.Router(), telex.Router("orders"), telex.Router("paid")
    bare.on("orders:1", run_in="loop")(note("bare"))
    orders.on("*", run_in="loop")(note("orders:*"))
    orders.on(int, run_in="loop")(note("orders by type"))
    paid.on("*", str, run_in="loop")(note("paid"))
    orders.include_router(paid, "eu")
    hub.include_router(bare)
    hub.include_router(orders)
    hub.include_router(orders, "shop:one")
    paid.on("late", run_in="loop")(note("late"))  # declared after it was included
    async with hub:
        for topic in ("orders:1", "shop:one:orders:1", "orders:eu:paid:late", "shop:one:orders:eu:paid:late", "other"):
            await hub.topic(topic).publish(1)
            await hub.topic(topic).publish("text")
        paid.on("later", run_in="loop")(note("later"))
        await hub.topic("orders:eu:paid:later").publish(1)
    assert {s.pattern for s in hub.statistics().handlers} == {
        "orders:1",
        "orders:*",
        "orders:>",
        "orders:eu:paid:*",
        "orders:eu:paid:late",
        "orders:eu:paid:later",
        "shop:one:orders:*",
        "shop:one:orders:>",
        "shop:one:orders:eu:paid:*",
        "shop:one:orders:eu:paid:late",
        "shop:one:orders:eu:paid:later",
    }
    assert sorted(got) == sorted(
        2 * [("bare", "orders:1")]
        + 2 * [("orders:*", topic) for topic in ("orders:1", "shop:one:orders:1")]
        + [("orders by type", topic) for topic in ("orders:1", "shop:one:orders:1")]
        + [("orders by type", topic) for topic in ("orders:eu:paid:late", "shop:one:orders:eu:paid:late")]
        + [("paid", topic) for topic in ("orders:eu:paid:late", "shop:one:orders:eu:paid:late")]
        + 2 * [("late", topic) for topic in ("orders:eu:paid:late", "shop:one:orders:eu:paid:late")]
        + [("later", "orders:eu:paid:later"), ("orders by type", "orders:eu:paid:later")]
    )


def test_routers_in_a_circle_are_refused() -> None:
    one, two, three = telex.Router("one"), telex.Router("two"), telex.Router("three")
    one.include_router(two)
    two.include_router(three)
    with pytest.raises(telex.BadOption, match="it cannot include itself") as raised:
        three.include_router(one)
    assert (raised.value.option, raised.value.value) == ("router", one)
    with pytest.raises(telex.BadName, match="at most 255"):
        telex.Hub().include_router(one_with_a_handler(), "a" * 254)


def one_with_a_handler() -> telex.Router:
    router = telex.Router("orders")
    router.on("*", run_in="loop")(print)
    return router


async def test_one_router_in_two_hubs() -> None:
    router, got = telex.Router("a"), list[tuple[str, int]]()

    @router.on("*", run_in="loop")
    def handler(content: int, hub: telex.Hub) -> None:
        got.append((next(name for name, it in hubs.items() if it is hub), content))

    hubs = {"one": telex.Hub(), "two": telex.Hub()}
    for hub in hubs.values():
        hub.include_router(router)
    async with hubs["one"], hubs["two"]:
        await hubs["one"].topic("a:1").publish(1)
        await hubs["two"].topic("a:1").publish(2)
    assert sorted(got) == [("one", 1), ("two", 2)]


def test_a_router_is_included_once_with_each_prefix() -> None:
    hub, router = telex.Hub(), one_with_a_handler()
    hub.include_router(router)
    hub.include_router(router, "shop")
    for prefix in ("", "shop"):
        with pytest.raises(telex.BadOption, match="this router is included here already"):
            hub.include_router(router, prefix)
    assert [declared.patterns for declared in hub.declarations] == [("orders:*",), ("shop:orders:*",)]


@pytest.mark.parametrize("router", [None, "orders", telex.Hub(), telex.Router])
def test_only_routers_are_included(router: Any) -> None:
    for includes in (telex.Hub().include_router, telex.Router().include_router):
        with pytest.raises(telex.BadOption, match=r"telex\.Router") as raised:
            includes(router)
        assert (raised.value.option, raised.value.value) == ("router", router)


@pytest.mark.parametrize("prefix", ["a b", "a:", ":a", "x" * 256])
def test_a_bad_prefix_is_refused_where_it_is_given(prefix: str) -> None:
    with pytest.raises(telex.BadName):
        telex.Router(prefix)
    with pytest.raises(telex.BadName):
        telex.Hub().include_router(telex.Router(), prefix)


def test_commands_and_triggers_are_included_too() -> None:
    inner, outer, hub = telex.Router("inner"), telex.Router("outer"), telex.Hub()

    @inner.command("build")
    async def build() -> None: ...

    inner.every("1h", name="tick")
    outer.include_router(inner)
    hub.include_router(outer, "all")
    inner.every("1h", name="late")  # declared after it was included
    assert repr(inner) == "<Router 'inner', 3 declared>"
    assert [command.command for command in hub.statistics().commands] == ["all:outer:inner:build"]
    assert [hub.trigger(f"all:outer:inner:{name}").name for name in ("tick", "late")] == [
        *("all:outer:inner:tick", "all:outer:inner:late"),
    ]


def test_middleware_of_routers_is_inside_that_of_the_outer_one() -> None:
    def outermost(next: Next) -> Next:
        return next

    def inmost(next: Next) -> Next:
        return next

    outer, inner = telex.Router("a", middleware=[outermost]), telex.Router("b", middleware=[inmost])
    inner.on("c", run_in="loop")(print)
    outer.include_router(inner)
    (declared,) = outer.declarations
    assert (declared.patterns, declared.middleware) == (("a:b:c",), (outermost, inmost))
    assert inner.declarations[0].patterns == ("b:c",), "the router itself is as it was"


@pytest.mark.parametrize("declares", ["on", "command"])
def test_a_decorator_without_arguments_says_how_it_is_written(declares: str) -> None:
    def handler(content: int) -> None: ...

    with pytest.raises(telex.BadHandler, match=rf"not @hub\.{declares}"):
        getattr(telex.Router(), declares)(handler)
