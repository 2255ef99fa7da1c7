"""The checks of options, each at the edges of the valid values."""

import math
from collections.abc import Callable

import pytest

from telex.checks import flag, function, instance, number, texts, whole
from telex.errors import BadOption

FIX = "do this"


@pytest.mark.parametrize(
    ("check", "valid", "invalid"),
    [
        (lambda value: whole(value, "size", FIX), (1, 10**30), (0, -1, 1.0, True, "1", None, math.nan)),
        (lambda value: whole(value, "size", FIX, 0, 5), (0, 5), (-1, 6, False)),
        (lambda value: number(value, "size", FIX, 0, 1), (0, 1, 0.5, 1.0), (-0.1, 1.1, True, "1", None, math.nan)),
        (lambda value: number(value, "size", FIX, 0), (10**400, 1e300), (math.inf, -math.inf, math.nan)),
        (lambda value: flag(value, "size"), (True, False), (1, 0, None, "yes")),
        (lambda value: texts(value, "size", "a"), ((), ("a",), ("", "b")), ("ab", b"ab", 1, None, [1], ["a", 1])),
        (lambda value: instance(value, int, "size", FIX), (1, True), (1.0, "1", None)),
        (lambda value: function(value, "size", FIX), (print, int), (1, "print", None)),
    ],
    ids=["whole", "whole-bounded", "number", "number-finite", "flag", "texts", "instance", "function"],
)
def test_a_valid_value_is_returned_and_another_names_its_option(
    check: Callable[[object], object], valid: tuple[object, ...], invalid: tuple[object, ...]
) -> None:
    for value in valid:
        assert check(value) is value
    for value in invalid:
        with pytest.raises(BadOption, match=r"^bad size .*: (do this|it must be )") as raised:
            check(value)
        assert raised.value.value is value


def test_texts_of_any_collection_become_a_tuple() -> None:
    assert texts(["a", "b"], "size", "a") == texts(iter("ab"), "size", "a") == ("a", "b")
