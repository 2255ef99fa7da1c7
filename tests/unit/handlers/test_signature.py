"""The types in declarations: types that dispatch and annotations can use work, and other types are refused."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict, TypeVar, Union, runtime_checkable

import msgspec
import pytest

import telex
from tests.support.loops import idle

UserId = NewType("UserId", int)
T = TypeVar("T")


class Row(TypedDict):
    a: int


class HasNumber(Protocol):
    number: int


@runtime_checkable
class HasTotal(Protocol):
    total: int


@runtime_checkable
class Runs(Protocol):
    def run(self) -> None: ...


class RefusesToCompare(type):
    def __subclasscheck__(cls, other: type) -> bool:
        raise RuntimeError("not asked for")


class Odd(metaclass=RefusesToCompare): ...


@dataclass
class Order:
    number: int


@dataclass
class RushOrder(Order):
    hours: int = 2


class Vehicle(msgspec.Struct):
    wheels: int


class Lorry(Vehicle):
    load: int


class Truck(Lorry):
    axles: int


class Loudness(IntEnum):
    LOW = 1


def job(self: object) -> None: ...


USELESS: list[Any] = [Row, HasNumber, HasTotal, UserId, Any, list[int], Literal["a"], T, Odd, Row | int]
USELESS += [Annotated[Row, 1], telex.Message, Optional[UserId]]  # noqa: UP045  # as people write it


@pytest.mark.parametrize("group", [{}, {"group": "g"}], ids=str)
@pytest.mark.parametrize("useless", USELESS, ids=str)
async def test_a_type_that_nothing_is_an_instance_of_is_refused_and_breaks_nothing(
    useless: Any, group: dict[str, Any]
) -> None:
    hub, got = telex.Hub(), list[int]()
    hub.on("t", int, **group)(got.append)
    with pytest.raises(telex.BadOption, match="give"):
        hub.on("t", useless, **group, run_in="loop")(lambda content: None)
    async with hub:
        for content in (1, {"a": 1}, 2):
            await hub.topic("t").publish(content)
        await idle()
    assert got == [1, 2]


USEFUL: list[tuple[Any, list[object]]] = [
    (Optional[Order], [Order(1), None]),  # noqa: UP045  # as people write it
    (Union[int, Order], [1, Order(1)]),  # noqa: UP007  # as people write it
    (Annotated[int, "of seconds"], [1]),
    (int | None, [1, None]),
    (None, [None]),
    (Runs, [type("Job", (), {"run": job})]),
]


@pytest.mark.parametrize(("useful", "contents"), USEFUL, ids=str)
async def test_unions_and_what_is_annotated_are_dispatched_on(useful: Any, contents: list[object]) -> None:
    hub, got = telex.Hub(), list[object]()
    hub.on("t", useful)(got.append)
    given = [content() if isinstance(content, type) else content for content in contents]
    async with hub:
        for content in ("other", *given):
            await hub.topic("t").publish(content)
        await idle()
    assert got == given


async def test_a_class_that_cannot_be_compared_is_the_fault_of_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    class Later(type):
        ready = False

        def __subclasscheck__(cls, other: type) -> bool:
            if Later.ready:
                raise RuntimeError("not now")
            return other is int

    class Fickle(metaclass=Later): ...

    hub, got = telex.Hub(), list[object]()
    hub.on("t", Fickle, group="g", run_in="loop")(lambda content: None)
    hub.on("t", Order, group="g")(got.append)
    async with hub:
        Later.ready = True
        await hub.topic("t").publish(RushOrder(1))
        await idle()
    assert got == [RushOrder(1)]
    assert "no handler of an abstract class takes RushOrder: RuntimeError: not now" in caplog.text


SUBCLASSES: list[tuple[type, object, object]] = [
    (Order, RushOrder(1), RushOrder(1)),
    (Vehicle, Truck(4, 10, 3), Truck(4, 10, 3)),
    (date, datetime(2026, 1, 2, 3, tzinfo=UTC), datetime(2026, 1, 2, 3, tzinfo=UTC)),
    (int, Loudness.LOW, Loudness.LOW),
]


@pytest.mark.parametrize(("base", "content", "wanted"), SUBCLASSES, ids=lambda value: str(value))
@pytest.mark.parametrize("group", [{}, {"group": "g"}], ids=str)
async def test_a_subclass_reaches_who_takes_its_base_on_a_file(
    base: type, content: object, wanted: object, group: dict[str, Any], tmp_path: Path
) -> None:
    hub, got, done = telex.Hub(f"sqlite:///{tmp_path}/a.db"), list[object](), asyncio.Event()

    @hub.on("t", base, **group, run_in="loop")
    def take(content: object) -> None:
        got.append(content)
        done.set()

    async with hub:
        await hub.topic("t").publish(content)
        await asyncio.wait_for(done.wait(), 10)
    assert got == [wanted]
    assert type(got[0]) is type(wanted)


async def test_a_stored_member_of_an_enumeration_comes_back_as_a_member(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with telex.Hub(url) as hub:
        await hub.topic("t", int).publish(Loudness.LOW)
        await hub.topic("t", int).publish(1)
    async with telex.Hub(url) as hub:
        kept = [message.content async for message in hub.topic("t", int).history()]
    assert [type(content) for content in kept] == [Loudness, int]


def namesakes(base: type) -> tuple[Any, Any]:
    """Instances of two subclasses that have one name, the older one first."""
    if base is int:
        enumerations: list[Any] = [IntEnum("Namesake", [("LOW", 1)]) for _ in range(2)]
        return enumerations[0](1), enumerations[1](1)
    if base is Vehicle:
        first, second = (msgspec.defstruct("Namesake", ["b"], bases=(Vehicle,)) for _ in range(2))
        return first(1, 2), second(1, 2)

    class Namesake(Order):
        hours: int = 2

    classes: list[Any] = [dataclass(Namesake), dataclass(slots=True)(Namesake)]  # of which the latter is made anew
    return classes[0](1, 2), classes[1](1, 2)


@pytest.mark.parametrize("base", [Order, int, Vehicle])
async def test_of_two_subclasses_of_one_name_the_newer_one_is_meant(base: Any, tmp_path: Path) -> None:
    """Nothing but the name is stored, and nobody guesses: the older one is refused."""
    older, newer = namesakes(base)
    async with telex.Hub(f"sqlite:///{tmp_path}/a.db") as hub:
        topic = hub.topic("t", base)
        with pytest.raises(telex.ContentError, match="Namesake, which is also named Namesake; rename one"):
            await topic.publish(older)
        await topic.publish(newer)
        kept = [message.content async for message in topic.history()]
    assert [type(content) for content in kept] == [type(newer)]


def annotated(got: list[object]) -> list[Callable[..., object]]:  # many little functions
    def optional(message: Optional[telex.Message[Order]], hub: Optional[telex.Hub] = None) -> None:  # noqa: UP045
        got.append((message, hub))

    def union(hub: "telex.Hub | None", message: telex.Message[Any] | None) -> None:
        got.append((message, hub))

    def with_more(message: Annotated[telex.Message[Order], "of a shop"], hub: Annotated["telex.Hub", 1]) -> None:
        got.append((message, hub))

    def by_text(message: "Optional[telex.Message[Nowhere]]", hub: "Annotated[telex.Hub, Nowhere]") -> None:  # type: ignore[name-defined]  # noqa: F821, UP045
        got.append((message, hub))

    def one_unknown(other: "Nowhere", message: telex.Message[Any], hub: telex.Hub) -> None:  # type: ignore[name-defined]  # noqa: F821
        assert other == message.content
        got.append((message, hub))

    return [optional, union, with_more, by_text, one_unknown]


@pytest.mark.parametrize("number", range(len(annotated([]))))
async def test_the_message_and_the_hub_are_given_whatever_stands_around_their_annotation(number: int) -> None:
    got = list[Any]()
    hub = telex.Hub()
    hub.on("t", run_in="loop")(annotated(got)[number])
    async with hub:
        sent = await hub.topic("t").publish(Order(1))
        await idle()
    assert got == [(sent, hub)]


async def test_an_annotation_may_name_what_is_defined_later_and_what_can_be_made_of_nothing(tmp_path: Path) -> None:
    hub, got, done = telex.Hub(f"sqlite:///{tmp_path}/a.db"), list[object](), asyncio.Event()

    @hub.on("t", run_in="loop")
    def later(message: "telex.Message[DefinedLater] | None") -> None:
        assert message is not None
        got.append(message.content)

    @hub.on("t", run_in="loop")
    def row(content: Row) -> None:
        got.append(content)

    @hub.on("t", run_in="loop")
    def protocol(content: HasNumber) -> None:
        got.append(content)
        done.set()

    async with hub:
        await hub.topic("t").publish({"a": 1})
        await asyncio.wait_for(done.wait(), 10)
    assert got == [DefinedLater(1), {"a": 1}, {"a": 1}]


class DefinedLater(msgspec.Struct):
    a: int
