"""The comparison of content with its decoded JSON finds the first difference, and the first part without a form."""

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from telex.codec.roundtrip import NOT_FINITE, children, difference, equal, is_model, is_record, is_too_deep, obstacle


class Struct(msgspec.Struct):
    a: Any
    b: Any = 0


@dataclass
class Data:
    a: Any
    hidden: Any = field(default=None, compare=False)


class Model(BaseModel):
    a: Any


class Attribute(NamedTuple):
    name: str


class Attrs:
    """As a class of attrs, which names its fields so."""

    __attrs_attrs__ = (Attribute("a"),)

    def __init__(self, a: Any) -> None:
        self.a = a


class Named(NamedTuple):
    a: Any


@dataclass(eq=False)
class Identity:
    a: Any


class Odd:
    def __eq__(self, other: object) -> bool:
        raise ValueError("no comparison")

    __hash__ = None  # type: ignore[assignment]


class Half:
    """Compares a part that is no field of it."""

    def __init__(self, secret: int) -> None:
        self.secret = secret

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Half) and other.secret == self.secret

    __hash__ = None  # type: ignore[assignment]


@dataclass(eq=False)
class Secret(Half):
    a: int
    secret: int = field(default=0, init=False)


class Color(enum.Enum):
    RED = "red"


RECORDS = [Struct(1), Data(1), Model(a=1), Attrs(1), Named(1)]


def nested(data: bytes, levels: int) -> bytes:
    return b"[" * levels + data + b"]" * levels


@pytest.mark.parametrize("inner", [b"", b"1", b'"[[[[{{{{"', b'"\\"[["', b'{"[[":"]]"}'])
@pytest.mark.parametrize("levels", [1, 99, 100, 101, 102, 500])
def test_json_is_too_deep_above_a_hundred_levels(inner: bytes, levels: int) -> None:
    own = inner.startswith(b"{")
    assert is_too_deep(nested(inner, levels)) == (levels + own > 100)


@settings(max_examples=30)
@given(st.text(max_size=9), st.integers(0, 200))
def test_brackets_in_text_are_no_levels(text: str, levels: int) -> None:
    inner = msgspec.json.encode({text: [f'{text}[{{"}}'] * 60})  # two levels
    assert is_too_deep(nested(inner, levels)) == (levels + 2 > 100)


@pytest.mark.parametrize("value", RECORDS, ids=lambda value: type(value).__name__)
def test_a_class_that_defines_its_fields_is_a_record(value: object) -> None:
    assert is_record(type(value))
    assert is_model(type(value)) == isinstance(value, Model)


@pytest.mark.parametrize("cls", [dict, list, tuple, int, object, Color, Odd, type])
def test_other_classes_are_no_records(cls: type[Any]) -> None:
    assert not is_record(cls)


def test_a_comparison_that_raises_counts_as_different() -> None:
    assert not equal(Odd(), Odd())
    assert equal([1], [1])
    assert not equal(1, 2)


@pytest.mark.parametrize(
    ("sent", "back", "found"),
    [
        (1, 1, None),
        (1, 1.0, None),
        ({"a": (1,)}, {"a": [1]}, ("$.a", "tuple (1,) comes back as list [1]")),
        ({1: "a"}, {"1": "a"}, ("$[1]", "str 'a' is lost, since JSON has only text as keys")),
        ([1, [2, 3]], [1, [2, 4]], ("$[1][1]", "int 3 comes back as another value, 4")),
        ([1], [1, 2], ("$", "the decoded content has more entries than the published content")),
        ([1, 2], [1], ("$[1]", "int 2 is lost, since JSON has only text as keys")),
        ({"a b": math.nan}, {"a b": None}, ("$['a b']", NOT_FINITE)),
        (Struct(1, 2), Struct(1, 3), ("$.b", "int 2 comes back as another value, 3")),
        (Model(a=[1]), Model(a=[2]), ("$.a[0]", "int 1 comes back as another value, 2")),
        (Identity([1]), Identity([1]), None),
        (Identity([1]), Identity([2]), ("$.a[0]", "int 1 comes back as another value, 2")),
        ("x" * 90, "y", ("$", f"str '{'x' * 56}... comes back as another value, 'y'")),
        (Color.RED, "red", ("$", "Color <Color.RED: 'red'> comes back as str 'red'")),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_the_first_difference_has_its_path(sent: object, back: object, found: tuple[str, str] | None) -> None:
    assert difference(sent, back) == found


def test_objects_with_equal_fields_that_compare_unequal_are_different() -> None:
    sent, back = Secret(1), Secret(1)
    assert difference(sent, back) is None
    sent.secret = 5
    # The field that differs is named; where none does, the object itself is.
    assert difference(sent, back) == ("$.secret", "int 5 comes back as another value, 0")
    one, other = Data(1, hidden=1), Data(1, hidden=2)
    assert difference(one, other) is None, "the class says that they are equal"


class Unequal(msgspec.Struct, eq=False):
    a: int

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def test_a_class_that_compares_more_than_its_fields_comes_back_unequal() -> None:
    found = difference([Unequal(1)], [Unequal(1)])
    assert found is not None
    assert found[0] == "$[0]"
    assert found[1].endswith("comes back unequal: part of it has no JSON form")


def refuses_bytes(value: object) -> str | None:
    """A stand-in for an encoder that knows neither bytes nor keys of bytes."""
    bad = isinstance(value, bytes) or (isinstance(value, dict) and any(isinstance(key, bytes) for key in value))
    return "no bytes" if bad else None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": [1, "x", None]}, None),
        (b"x", ("$", "no bytes")),
        ({"a": [1, b"x"], "b": b"y"}, ("$.a[1]", "no bytes")),
        ({"a": {b"k": 1}}, ("$.a", "a key: no bytes")),
        (Struct({"in": Data(b"x")}), ("$.a.in.a", "no bytes")),
        ([math.inf], ("$[0]", NOT_FINITE)),
        ({frozenset({b"x"})}, ("$[frozenset({b'x'})][b'x']", "no bytes")),
        ([], None),
    ],
    ids=repr,
)
def test_the_first_part_without_a_form_has_its_path(value: object, found: tuple[str, str] | None) -> None:
    assert obstacle(value, refuses_bytes) == found


def parts(value: object) -> list[tuple[str, object]]:
    found: Iterator[tuple[str, object]] | None = children(value)
    assert found is not None
    return list(found)


@pytest.mark.parametrize("value", RECORDS, ids=lambda value: type(value).__name__)
def test_the_parts_of_a_record_are_its_fields(value: object) -> None:
    assert parts(value)[0] == (".a", 1)


def test_the_parts_of_containers() -> None:
    assert parts({"a": 1, "b c": 2, 3: 4}) == [(".a", 1), ("['b c']", 2), ("[3]", 4)]
    assert parts([5, 6]) == parts((5, 6)) == [("[0]", 5), ("[1]", 6)]
    assert parts({7}) == [("[7]", 7)]
    assert [children(value) for value in (1, "text", b"bytes", None, Color.RED, object())] == [None] * 6
    unset = Attrs(1)
    del unset.a
    assert parts(unset) == [], "a field that is not set is no part"
