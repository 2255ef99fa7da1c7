"""Contents of every kind, for the matrix of `tests/unit/codec/test_carried.py`: name, declared type and value."""

import enum
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    label: str


class Entry(TypedDict):
    at: datetime
    counts: dict[int, str]


@dataclass
class Stock:
    count: dict[int, int]
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class Silent:
    """Its objects compare by identity."""

    n: int
    parts: tuple[int, ...] = ()


@dataclass
class Animal:
    name: str


@dataclass
class Dog(Animal):
    barks: int = 1


class Order(msgspec.Struct, rename="camel"):
    order_id: UUID
    price_each: Decimal | None = None


class Circle(msgspec.Struct, tag=True, array_like=True):
    radius: float


class Square(msgspec.Struct, tag=True, array_like=True):
    side: int


class Box(msgspec.Struct, Generic[T]):
    held: T


class Item(pydantic.BaseModel):
    name: str
    price: Decimal | None = None


class Aliased(pydantic.BaseModel):
    number: int = pydantic.Field(alias="orderNumber")
    shown: str = pydantic.Field("", validation_alias="in", serialization_alias="out")


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    on: date
    sizes: tuple[int, ...]
    kinds: frozenset[str] = frozenset()


class Computed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    width: int

    @pydantic.computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def area(self) -> int:
        return self.width**2


class Ids(pydantic.RootModel[list[UUID]]):
    pass


@dataclass
class Cart:
    items: list[Item]
    owner: Aliased | None = None


class Shelf(msgspec.Struct):
    strict: Strict
    by_number: dict[int, Computed]


ALIASED = Aliased.model_validate({"orderNumber": 7, "in": "x"})
STRICT = Strict(on=date(2026, 2, 28), sizes=(1, 2), kinds=frozenset({"a", "b"}))
MOMENT = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
Case = tuple[str, Any, Any]

CARRIED: tuple[Case, ...] = (
    ("bool", bool, True),
    ("int", int, 2**53 + 1),
    ("large-int", int, -(2**70)),
    ("float", float, -5e-324),
    ("text", str, "Zoë\x00\u2028\U0001f9ea"),
    ("none", type(None), None),
    ("bytes", bytes, b"\x00\xff\xfe"),
    ("bytearray", bytearray, bytearray(b"\xff")),
    ("list", list[int], [1, 2, 3]),
    ("plain", dict[str, Any], {"a": [1, 2.5, None, True, {"": "x"}]}),
    ("int-keys", dict[int, str], {1: "a", -2: "b"}),
    ("float-keys", dict[float, int], {1.5: 1}),
    ("uuid-keys", dict[UUID, int], {UUID(int=5): 1}),
    ("date-keys", dict[date, list[int]], {date(2026, 1, 2): [1]}),
    ("tuple", tuple[int, str], (1, "a")),
    ("long-tuple", tuple[int, ...], (3, 2, 1)),
    ("set", set[int], {1, 2, 3}),
    ("frozenset", frozenset[str], frozenset({"a", "b"})),
    ("list-of-bytes", list[bytes], [b"\xff", b""]),
    ("datetime", datetime, MOMENT),
    ("naive-datetime", datetime, datetime(2026, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001  # on purpose
    ("date", date, date(2026, 12, 31)),
    ("time", time, time(23, 59, 59, 999999)),
    ("timedelta", timedelta, timedelta(days=-1, microseconds=3)),
    ("decimal", Decimal, Decimal("1.10")),
    ("uuid", UUID, UUID(int=2**127)),
    ("enum", Color, Color.RED),
    ("int-enum", Level, Level.HIGH),
    ("flag", Right, Right.READ | Right.WRITE),
    ("literal", Literal["a", "b"], "b"),
    ("union", int | str, "3"),
    ("optional", int | None, 4),
    ("named-tuple", Point, Point(1, "here")),
    ("typed-dict", Entry, {"at": datetime(2026, 1, 1, tzinfo=UTC), "counts": {3: "c"}}),
    ("dataclass", Stock, Stock({17: 3}, {"x", "y"})),
    ("by-identity", Silent, Silent(1, (2, 3))),
    ("subclass", Animal, Dog("Rex", 2)),
    ("struct", Order, Order(UUID(int=9), Decimal("9.90"))),
    ("tagged", list[Circle | Square], [Square(2), Circle(0.5)]),
    ("generic", Box[dict[int, date]], Box({1: date(2026, 1, 1)})),
    ("model", Item, Item(name="tea", price=Decimal("1.10"))),
    ("model-alias", Aliased, ALIASED),
    ("model-strict", Strict, STRICT),
    ("model-computed", Computed, Computed(width=3)),
    ("model-root", Ids, Ids([UUID(int=1)])),
    ("models", list[Aliased], [ALIASED]),
    ("optional-model", Strict | None, STRICT),
    ("model-or-int", Strict | int, STRICT),
    ("models-in-dataclass", Cart, Cart([Item(name="x")], ALIASED)),
    ("models-in-struct", Shelf, Shelf(STRICT, {3: Computed(width=2)})),
)
"""What comes back equal, by every way."""


class Reading(msgspec.Struct):
    value: float | None


@dataclass
class Loose:
    parts: list[Any]


class Secret(pydantic.BaseModel):
    word: pydantic.SecretStr


class Left(pydantic.BaseModel):
    kept: int
    out: int = pydantic.Field(0, exclude=True)


@dataclass
class Explodes:
    n: int
    armed: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.armed:
            raise KeyError("armed")


def armed() -> Explodes:
    value = Explodes(1)
    value.armed = True
    return value


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


def in_a_circle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


REFUSED: tuple[tuple[str, Any, Any, str], ...] = (
    ("nan", float, math.nan, "$"),
    ("infinity", float, -math.inf, "$"),
    ("nan-in-dict", dict[str, float], {"a": math.nan}, "$.a"),
    ("nan-or-null", Reading, Reading(math.inf), "$.value"),
    ("nan-plain", object, {"items": [1, {"price": math.nan}]}, "$.items[1].price"),
    ("decimal-nan", Decimal, Decimal("NaN"), "$"),
    ("surrogate", str, "caf\udce9", "$"),
    ("surrogate-key", dict[str, int], {"caf\udce9": 1}, "$"),
    ("object", object, {"a": [object()]}, "$.a[0]"),
    ("path", PurePosixPath, PurePosixPath("a"), "$"),
    ("int-keys-plain", object, {"a": {1: 2}}, "$.a[1]"),
    ("tuple-in-dict", object, {"size": (1, 2)}, "$.size"),
    ("decimal-in-list", object, [1, Decimal(1)], "$[1]"),
    ("bytes-in-dict", object, {"raw": b"a"}, "$.raw"),
    ("tuple-of-any", Loose, Loose([{"a": (1,)}]), "$.parts[0].a"),
    ("none-key", dict[str | None, int], {None: 1}, "$"),
    ("invalid-dataclass", Stock, Stock({17: "three"}), "$.count[...]"),  # type: ignore[dict-item]  # on purpose
    ("invalid-struct", Order, Order("no"), "$.orderId"),  # type: ignore[arg-type]  # on purpose
    ("invalid-model", Item, Item.model_construct(name=3), "$.name"),
    ("secret", Secret, Secret(word=pydantic.SecretStr("x")), "$.word"),
    ("excluded", Left, Left(kept=1, out=2), "$.out"),
    ("explodes", Explodes, armed(), "$"),
    ("too-deep", object, nested(101), "$"),
    ("far-too-deep", object, nested(20_000), "$"),
    ("in-a-circle", object, in_a_circle(), "$"),
)
"""What does not, with the path that its `ContentError` has."""


def same(sent: object, back: object) -> bool:
    """Whether ``back`` is what was sent: equal, and of its class."""
    if type(back) is not type(sent):
        return False
    if isinstance(sent, Silent) and isinstance(back, Silent):
        return (sent.n, sent.parts) == (back.n, back.parts)
    return sent == back
