"""Numbers and text, which are their own plain data, are held to their declared type all the same."""

import math
from typing import Any

import pytest

import telex
from telex.codec.content import Content, from_json


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        (int, 2**70, None),
        (int, True, "Expected `int`, got `bool`"),
        (int, 1.5, "Expected `int`, got `float`"),
        (float, -0.0, None),
        (float, math.nan, "JSON has no NaN"),
        (float, math.inf, "JSON has no NaN"),
        (bool, False, None),
        (bool, 1, "Expected `bool`, got `int`"),
        (str, "null", None),
        (str, "a\ud800", "it has no JSON form"),
        (str, b"a", "Expected `str`"),
    ],
)
def test_numbers_and_text_are_held_to_their_type(declared: type[Any], value: Any, problem: str | None) -> None:
    content = Content(declared)
    if problem is None:
        data = content.hold(content.check(value, "t"), "t")
        assert data is not None
        assert content.decode(from_json(data), "t") == value
        return
    with pytest.raises(telex.ContentError, match=problem):
        content.hold(content.check(value, "t"), "t")
