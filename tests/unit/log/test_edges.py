"""Edges of the kernel that no other test asks for, one each."""

import msgspec
import pytest

from telex.codec.content import Content
from telex.codec.encoding import to_canonical
from telex.log.cursor import Cursor
from telex.log.log import Log, Retention
from telex.log.options import Options, Overflow
from tests.unit.log.test_overflow import publish, taken


@pytest.mark.parametrize("overflow", ["latest", "drop_oldest", "drop_newest", "block", "catch_up"])
@pytest.mark.parametrize("buffer_bytes", [None, 10_000])
def test_waiting_messages_outlive_a_log_that_keeps_nothing(overflow: Overflow, buffer_bytes: int | None) -> None:
    log = Log("a", "epoch", Retention(messages=0), 1)
    options = Options(overflow, buffer=3000, buffer_bytes=buffer_bytes if overflow != "catch_up" else None)
    cursor = Cursor(log, options, 1)
    publish(log, *range(2000))
    kept = {"latest": [2000], "catch_up": []}.get(overflow, list(range(1, 2001)))
    if (overflow, buffer_bytes) != ("drop_oldest", None):  # whose last messages wait in the log
        assert log.base > 1000, "it has let go of most"
    assert [number for number in taken(cursor) if isinstance(number, int)][: len(kept)] == kept


class Base(msgspec.Struct):
    x: int


class Sub(Base):
    y: int


@pytest.mark.parametrize(
    ("name", "made"), [("Sub", Sub(1, 2)), ("Base", Base(1)), (None, Base(1)), ("Unknown", Base(1)), ("int", Base(1))]
)
def test_content_is_of_the_subclass_that_it_names(name: str | None, made: Base) -> None:
    found = Content(Base).decode({"x": 1, "y": 2}, "t", name)
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"b", "a", "c"}, b'["a","b","c"]'),
        (frozenset({3, 10, 2}), b"[2,3,10]"),
        ({1, "a", None}, b'["a",1,null]'),
        ({"s": {2, "b"}, 1: 0}, b'{"1":0,"s":["b",2]}'),
        ({"z": {2, 1}, "a": [{"y": 1, "x": 2}]}, b'{"a":[{"x":2,"y":1}],"z":[1,2]}'),
        ((frozenset({(2, 1)}), Sub(1, 2)), b'[[[2,1]],{"x":1,"y":2}]'),
    ],
)
def test_equal_content_has_one_canonical_form(value: object, form: bytes) -> None:
    assert to_canonical(value) == form
