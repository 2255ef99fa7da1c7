"""What can be known of a decorated function: its name, its annotations, whether it is async."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial


def calls_async(function: Callable[..., object]) -> bool:
    """Whether calling it gives an awaitable."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def hints_of(function: Callable[..., object]) -> Mapping[str, object]:
    """Its annotations by name: types, or text where a name is known to type checkers alone."""
    while isinstance(function, partial):
        function = function.func
    target = function if inspect.isroutine(function) else getattr(type(function), "__call__", function)  # noqa: B004
    try:
        return typing.get_type_hints(target)
    except Exception:  # noqa: BLE001  # names that are known to type checkers alone: then the text of the annotation decides
        found: Mapping[str, object] = getattr(target, "__annotations__", {})
        return found


def name_of(function: object) -> str:
    """What it is called in messages."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", None) or repr(function)
