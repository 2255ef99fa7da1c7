"""Checks of options. Each returns the value, or raises `BadOption` that names the option and the valid values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

from telex.errors import BadOption

T = TypeVar("T")


def whole(value: object, option: str, fix: str, least: int = 1, most: int | None = None) -> int:
    """Return a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        raise BadOption(option, value, fix)
    return value


def number(value: object, option: str, fix: str, least: float, most: float = math.inf) -> float:
    """Return a finite number from ``least`` to ``most``."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not least <= value <= most
        or value == math.inf
    ):
        raise BadOption(option, value, fix)
    return value


def flag(value: object, option: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise BadOption(option, value, "it must be True or False")
    return value


def texts(value: object, option: str, example: str) -> tuple[str, ...]:
    """Return the texts of a list, set or tuple. A single text is none: its characters would be the texts."""
    fix = f"it must be a list of texts, such as [{example!r}]"
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise BadOption(option, value, fix)
    found = tuple(value)
    if not all(isinstance(each, str) for each in found):
        raise BadOption(option, value, fix)
    return found


def instance(value: Any, cls: type[T], option: str, fix: str) -> T:
    """Return an object of a class."""
    if not isinstance(value, cls):
        raise BadOption(option, value, fix)
    return value


def function(value: Any, option: str, fix: str) -> Any:
    """Return a function."""
    if not callable(value):
        raise BadOption(option, value, fix)
    return value
