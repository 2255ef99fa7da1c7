"""The comparison of content with its decoded JSON: finds the first difference and its path.

Pure functions of values. `telex.codec.content` encodes and decodes; this module compares.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

import msgspec

from telex.errors import shown

MAX_NESTING = 100
"""The largest number of nested lists and dicts in content that is stored or sent."""
Found = tuple[str, str]
"""The path to a value, and the problem of that value."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_OTHER = bytes(set(range(256)) - set(b"[]{}"))
_AS_LISTS = bytes.maketrans(b"{}", b"[]")


def is_too_deep(data: bytes) -> bool:
    """Return true when JSON has more than `MAX_NESTING` levels. ``data`` has no whitespace, as msgspec writes it."""
    if len(data) <= 2 * MAX_NESTING or data.count(b"[") + data.count(b"{") <= MAX_NESTING:
        return False
    brackets = _STRING.sub(b"", data).translate(_AS_LISTS, _OTHER)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"[]", b"")  # the innermost level
        if not brackets:
            return False
    return True


def is_record(cls: type[Any]) -> bool:
    """Return true when a class defines its own fields: a struct, dataclass, model, attrs class or named tuple."""
    return (
        issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or hasattr(cls, "__attrs_attrs__")
        or is_model(cls)
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
    )


def is_model(cls: object) -> bool:
    """Return true when a class is a pydantic model."""
    return isinstance(cls, type) and hasattr(cls, "model_validate_json") and hasattr(cls, "model_dump")


def equal(sent: object, back: object) -> bool:
    """Return true when both are equal by ``==``. An ``==`` that raises or returns no bool counts as different."""
    try:
        return bool(sent == back)
    except Exception:  # noqa: BLE001  # a user's own comparison may raise anything
        return False


def difference(sent: object, back: object, path: str = "$") -> Found | None:
    """Return the path and the text of the first difference between published and decoded content; None when they are
    equal.

    Two objects that compare by identity count as equal when they have the same class and the same fields.
    """
    if equal(sent, back):
        return None
    if isinstance(sent, float) and not isfinite(sent):
        return path, NOT_FINITE
    if type(sent) is not type(back):
        return path, f"{_described(sent)} comes back as {_described(back)}"
    parts = children(sent)
    if parts is None:
        return path, f"{_described(sent)} comes back as another value, {_shown(back)}"
    others = dict(children(back) or ())
    for place, value in parts:
        if place not in others:
            return (
                path + place,
                f"{_described(value)} is lost, since JSON has only text as keys",
            )
        found = difference(value, others[place], path + place)
        if found is not None:
            return found
    if len(others) > len(list(children(sent) or ())):
        return path, "the decoded content has more entries than the published content"
    compares = type(sent).__eq__ is not object.__eq__ and not isinstance(sent, (dict, list, tuple))
    # The fields are equal, but the class compares a part that its JSON does not contain.
    return (path, f"{_described(sent)} comes back unequal: part of it has no JSON form") if compares else None


def obstacle(value: object, encodes: Callable[[object], str | None], path: str = "$") -> Found | None:
    """Return the path and the problem of the first part without a JSON form; None when there is none. ``encodes``
    returns the problem of a single value, or None.
    """
    parts = children(value)
    if parts is None:
        if isinstance(value, float) and not isfinite(value):
            return path, NOT_FINITE
        problem = encodes(value)
        return None if problem is None else (path, problem)
    if isinstance(value, dict):
        for key in value:
            problem = encodes({key: 0})
            if problem is not None:
                return path, f"a key: {problem}"
    for place, part in parts:
        found = obstacle(part, encodes, path + place)
        if found is not None:
            return found
    return None


NOT_FINITE = "JSON has no NaN and no infinity; publish None or text in its place"


def children(value: object) -> Iterator[tuple[str, object]] | None:
    """Yield the parts of a container or a record, each with its part of the path. Return None for other values."""
    if isinstance(value, dict):
        return ((_place(key), part) for key, part in value.items())
    cls = type(value)
    names = _fields(cls)
    if names is not None:
        return ((f".{name}", getattr(value, name)) for name in names if hasattr(value, name))
    if isinstance(value, (list, tuple)):
        return ((f"[{index}]", part) for index, part in enumerate(value))
    if isinstance(value, (set, frozenset)):
        return ((f"[{_shown(part)}]", part) for part in value)
    return None


def _fields(cls: type[Any]) -> tuple[str, ...] | None:
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if is_model(cls):
        return tuple(cls.model_fields)
    if hasattr(cls, "__attrs_attrs__"):
        return tuple(field.name for field in cls.__attrs_attrs__)
    return tuple(cls._fields) if issubclass(cls, tuple) and hasattr(cls, "_fields") else None


def _place(key: object) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_shown(key)}]"


def _described(value: object) -> str:
    return f"{type(value).__name__} {_shown(value)}"


def _shown(value: object) -> str:
    text = shown(value)
    return text if len(text) <= 60 else text[:57] + "..."
