"""Values as JSON bytes: equal content has one form, and a value without a form is refused with its path."""

import math
import pickle
import sys
from collections.abc import Callable
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from telex.codec import encoding
from telex.codec.encoding import (
    finite,
    from_json,
    from_stored,
    obstacle_in,
    plain_json,
    proven,
    refusal,
    size_of,
    size_of_headers,
    to_canonical,
    to_json,
)
from telex.codec.roundtrip import NOT_FINITE
from telex.errors import ContentError


class Pair(msgspec.Struct):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"b", "a", "c"}, b'["a","b","c"]'),
        (frozenset({3, 10, 2}), b"[2,3,10]"),
        ({1, "a", None}, b'["a",1,null]'),
        ({"s": {2, "b"}, 1: 0}, b'{"1":0,"s":["b",2]}'),
        ({"z": {2, 1}, "a": [{"y": 1, "x": 2}]}, b'{"a":[{"x":2,"y":1}],"z":[1,2]}'),
        ((frozenset({(2, 1)}), Pair(1, 2)), b'[[[2,1]],{"x":1,"y":2}]'),
    ],
)
def test_equal_content_has_one_canonical_form(value: object, form: bytes) -> None:
    assert to_canonical(value) == form


class Model(BaseModel):
    tags: set[str]
    n: int = 0


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(plain)
def test_plain_data_comes_back_equal(value: object) -> None:
    assert from_json(to_json(value)) == from_json(to_canonical(value)) == value
    assert from_stored(to_json(value), "t") == value
    assert plain_json(value, "t") == to_json(value)
    assert proven(value) == encoding.encoded(value, "t") == to_json(value)


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=6), st.randoms())
def test_the_canonical_form_does_not_depend_on_the_order_of_keys(value: dict[str, int], random: Random) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert to_canonical(dict(items)) == to_canonical(value)


@pytest.mark.parametrize("encode", [to_json, to_canonical])
@pytest.mark.parametrize(
    ("value", "path"), [(math.nan, "$"), ([1, math.inf], "$[1]"), ({"a": {"b c": -math.inf}}, "$.a['b c']")], ids=repr
)
def test_a_number_that_is_not_finite_is_refused_with_its_path(
    encode: Callable[[object], bytes], value: object, path: str
) -> None:
    with pytest.raises(ValueError, match="no NaN and no infinity") as raised:
        encode(value)
    assert f"(at {path})" in str(raised.value)


@pytest.mark.parametrize("value", [None, [None], {"a": None}, "null", "NaN"], ids=repr)
def test_none_and_the_text_null_are_finite(value: object) -> None:
    assert finite(to_json(value), value) == to_json(value)


def test_a_model_encodes_itself_and_its_sets_are_sorted_only_in_the_canonical_form() -> None:
    model = Model(tags={"b", "a", "c"}, n=2)
    assert from_json(to_canonical(model)) == {"tags": ["a", "b", "c"], "n": 2}
    assert to_canonical(model) == b'{"n":2,"tags":["a","b","c"]}'
    assert set(from_json(to_json(model))["tags"]) == {"a", "b", "c"}  # type: ignore[index]
    assert to_canonical({1: model, "a": {1, "b"}}) == b'{"1":{"n":2,"tags":["a","b","c"]},"a":["b",1]}'


def test_a_value_without_a_json_form_is_a_type_error() -> None:
    for encode in (to_json, to_canonical):
        with pytest.raises(TypeError, match="object has no JSON form"):
            encode({"a": object()})


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"NaN", b'"\\ud800"', b"[" * 100_000], ids=lambda data: repr(data[:9])
)
def test_damaged_stored_json_is_a_content_error_of_its_topic(data: bytes) -> None:
    with pytest.raises(ContentError, match=r"^stored content of 'room:1' cannot be read at") as raised:
        from_stored(data, "room:1")
    assert (raised.value.topic, raised.value.stored) == ("room:1", True)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"a": [1, object()]}, "$.a[1]", "object has no JSON form"),
        ({"a": math.nan}, "$.a", "no NaN"),
        ({("k", 1): 2}, "$", "a key"),
        (nested(101), "$", "more than 100 levels"),
        (nested(5000), "$", "more than 100 levels"),
    ],
    ids=["object", "nan", "key", "deep", "deeper"],
)
def test_a_result_without_a_json_form_is_refused_with_its_path(value: object, path: str, problem: str) -> None:
    with pytest.raises(ContentError, match=problem) as raised:
        plain_json(value, "build")
    assert raised.value.path == path
    assert raised.value.topic == "build"


@pytest.mark.parametrize(
    "value", [math.nan, {1: "a"}, (1, 2), nested(101), object(), {"a": b"x"}], ids=lambda v: repr(v)[:9]
)
def test_content_that_would_not_come_back_equal_is_not_proven(value: object) -> None:
    assert proven(value) is None


def test_the_greatest_nesting_is_proven() -> None:
    assert proven(nested(100)) == b"[" * 100 + b"1" + b"]" * 100


def test_the_first_obstacle_is_found() -> None:
    assert obstacle_in({"a": 1, "b": [2, 3j], "c": object()}) == (
        "$.b[1]",
        "complex has no JSON form: use a struct, a dataclass, a model, or dicts, lists and text",
    )
    assert obstacle_in({"a": [1, None, "x"]}) is None
    loop: list[object] = []
    loop.append(loop)
    assert obstacle_in(loop) == ("$", encoding.TOO_DEEP)


def test_a_refusal_names_the_fix_unless_the_problem_has_it() -> None:
    assert refusal("t", ("$.a", "it is odd"), "declare it").problem == "it is odd; declare it"
    assert refusal("t", ("$.a", NOT_FINITE), "declare it").problem == NOT_FINITE
    assert refusal("t", ("$.\ud800", "it is odd"), "").path == r"$.\ud800"


@pytest.mark.parametrize(
    ("headers", "size"), [(None, 0), ({}, 0), ({"a": "b"}, 2), ({"é": "☃", "xy": ""}, 7)], ids=repr
)
def test_headers_count_their_names_and_values_as_bytes(headers: dict[str, str] | None, size: int) -> None:
    assert size_of_headers(headers) == size


@pytest.mark.parametrize(
    ("content", "size"),
    [("aé", 3), ("\ud800", 3), (b"\x00" * 9, 9), ({"a": [1]}, 9), (None, 4), (Model(tags=set()), 17)],
    ids=repr,
)
def test_content_counts_the_bytes_of_its_json(content: object, size: int) -> None:
    assert size_of(content) == size


def test_content_without_a_json_form_counts_its_size_in_memory() -> None:
    assert size_of(nested(50_000)) == sys.getsizeof([0])
    assert size_of(3j) == sys.getsizeof(3j)
