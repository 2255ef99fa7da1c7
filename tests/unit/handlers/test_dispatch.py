"""Which handler gets a message: by topic, by type, or by both."""

import collections.abc
import functools
from typing import Any, Union

import msgspec
import pytest

import telex
from tests.support.loops import idle


class Event: ...


class OrderEvent(Event): ...


class OrderPlaced(OrderEvent): ...


class OrderPaid(OrderEvent): ...


class Struct(msgspec.Struct):
    number: int


class Mixed(OrderPaid, Struct): ...


class Sized:
    def __len__(self) -> int:
        return 0


Declared = type[Any] | Any


async def taken(contents: list[Any], *declared: Declared, pattern: str | None = None) -> tuple[list[list[str]], int]:
    """For each content the names of the types whose handlers got it, and how many went unhandled."""
    hub = telex.Hub()
    calls: list[tuple[int, str]] = []
    numbers = iter(range(len(contents)))
    current = 0

    for types in declared:
        name = getattr(types, "__name__", str(types))

        def handler(content: object, name: str = name) -> None:
            calls.append((current, name))

        hub.on(*([pattern] if pattern else []), types, run_in="loop")(handler)
    async with hub:
        for content in contents:
            current = next(numbers)
            await hub.topic("a:1").publish(content)
            await idle()
        unhandled = hub.statistics().unhandled
    return [[name for number, name in calls if number == index] for index in range(len(contents))], unhandled


async def test_the_most_specific_class_wins() -> None:
    contents = [OrderPlaced(), OrderPaid(), OrderEvent(), Event()]
    got, unhandled = await taken(contents, Event, OrderEvent, OrderPlaced)
    assert got == [["OrderPlaced"], ["OrderEvent"], ["OrderEvent"], ["Event"]]
    assert unhandled == 0


async def test_it_is_the_order_of_singledispatch_and_not_of_declaration() -> None:
    contents: list[Any] = [OrderPlaced(), Mixed(1), Struct(1), True, 1, 1.5, "text", b"bytes", [1], {}, Sized(), None]
    classes: list[type[Any]] = [Event, OrderEvent, Struct, int, str, collections.abc.Sized, type(None)]

    @functools.singledispatch
    def dispatched(content: object) -> str:
        return ""

    for cls in classes:
        dispatched.register(cls, lambda content, name=cls.__name__: name)
    expected = [dispatched(content) for content in contents]
    for order in (classes, classes[::-1]):
        got, unhandled = await taken(contents, *order)
        assert got == [[name] if name else [] for name in expected]
        assert unhandled == expected.count("")


async def test_a_bool_is_an_int_unless_bool_has_its_own() -> None:
    assert await taken([True, 1], int) == ([["int"], ["int"]], 0)
    assert await taken([True, 1], int, bool) == ([["bool"], ["int"]], 0)
    assert await taken([True, 1], bool) == ([["bool"], []], 1)


async def test_object_takes_the_rest() -> None:
    assert await taken([1, "text", None], str, object) == ([["object"], ["str"], ["object"]], 0)


@pytest.mark.parametrize("union", [int | str, Union[int, str], int | str | None])  # noqa: UP007  # the older spelling
async def test_unions(union: Any) -> None:
    got, unhandled = await taken([1, "text", 1.5, True], union, bool)
    assert [len(names) for names in got] == [1, 1, 0, 1]
    assert got[3] == ["bool"]
    assert unhandled == 1


async def test_abstract_classes() -> None:
    contents: list[Any] = [[1], {}, Sized(), 3]
    got, unhandled = await taken(contents, collections.abc.Sized, collections.abc.Sequence, dict)
    assert got == [["Sequence"], ["dict"], ["Sized"], []]
    assert unhandled == 1


async def test_two_abstract_classes_of_which_neither_is_more_specific(caplog: pytest.LogCaptureFixture) -> None:
    got, unhandled = await taken([[1], [2], Sized()], collections.abc.Sized, collections.abc.Iterable)
    assert got == [[], [], ["Sized"]]
    assert unhandled == 2
    told = [record.getMessage() for record in caplog.records if record.name == "telex.handlers"]
    assert set(told) == {
        (
            "no handler of an abstract class takes list: RuntimeError: Ambiguous dispatch: "
            "<class 'collections.abc.Sized'> or <class 'collections.abc.Iterable'>; declare one for list itself"
        )
    }
    got, unhandled = await taken([[1]], collections.abc.Sized, collections.abc.Iterable, list)
    assert (got, unhandled) == ([["list"]], 0)


async def test_two_handlers_of_one_type_are_both_called() -> None:
    got, unhandled = await taken([OrderPlaced(), OrderPaid()], OrderPlaced, OrderEvent, OrderPlaced)
    assert got == [["OrderPlaced", "OrderPlaced"], ["OrderEvent"]]
    assert unhandled == 0


async def test_a_union_and_one_of_its_types_are_both_called() -> None:
    got, _ = await taken([1, "text"], int, int | str)
    assert [len(names) for names in got] == [2, 1]


async def test_a_more_specific_type_may_be_declared_later() -> None:
    async with telex.Hub() as hub:
        got: list[str] = []
        for declared in (object, int, bool):
            hub.on(declared, run_in="loop")(lambda content, name=declared.__name__: got.append(name))
            await hub.topic("a").publish(True)
            await idle()
        assert got == ["object", "int", "bool"]


async def test_type_and_pattern_both_have_to_fit() -> None:
    hub = telex.Hub()
    got: list[tuple[str, str, object]] = []

    @hub.on("orders:*", OrderEvent, run_in="loop")
    def order(message: telex.Message[OrderEvent]) -> None:
        got.append(("order", message.topic, message.content))

    @hub.on("orders:*", run_in="loop")
    def every(message: telex.Message[Any]) -> None:
        got.append(("every", message.topic, message.content))

    @hub.on(OrderPlaced, run_in="loop")
    def placed(content: OrderPlaced, message: telex.Message[OrderPlaced]) -> None:
        got.append(("placed", message.topic, content))

    one, two = OrderPlaced(), OrderPaid()
    async with hub:
        await hub.topic("orders:1").publish(one)
        await hub.topic("orders:1").publish(two)
        await hub.topic("orders:1").publish("text")
        await hub.topic("other").publish(one)
        await idle()
        # Each pattern counts on its own: the text in orders:*, and in > all but the two that were placed.
        assert hub.statistics().unhandled == 3
    assert sorted(got, key=str) == sorted(
        [
            ("order", "orders:1", one),
            ("order", "orders:1", two),
            ("every", "orders:1", one),
            ("every", "orders:1", two),
            ("every", "orders:1", "text"),
            ("placed", "orders:1", one),
            ("placed", "other", one),
        ],
        key=str,
    )


async def test_several_patterns_and_types_of_one_handler() -> None:
    hub = telex.Hub()
    got: list[object] = []

    @hub.on("a:*", "b", int, str, run_in="loop")
    def handler(content: int | str) -> None:
        got.append(content)

    async with hub:
        for topic in ("a:1", "b", "c"):
            for content in (1, "text", 1.5):
                await hub.topic(topic).publish(content)
        await idle()
        assert hub.statistics().unhandled == 2
        assert [(s.pattern, s.handled) for s in hub.statistics().handlers] == [("a:*", 2), ("b", 2)]
    assert got == [1, "text", 1, "text"]


async def test_unhandled_messages_are_counted_once_and_only_where_types_are() -> None:
    hub = telex.Hub()

    @hub.on("a", int, run_in="loop")
    @hub.on("a", str, run_in="loop")
    @hub.on("b", run_in="loop")
    def handler(content: object) -> None: ...

    async with hub:
        for topic in ("a", "b", "c"):
            await hub.topic(topic).publish(1.5)
        await idle()
        assert hub.statistics().unhandled == 1
    assert hub.statistics().unhandled == 1
