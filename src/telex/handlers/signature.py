"""What can be known of a decorated function: its name, its annotations, whether it is async."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial


def calls_async(function: Callable[..., object]) -> bool:
    """Whether calling it gives an awaitable."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def hints_of(function: Callable[..., object]) -> Mapping[str, object]:
    """Its annotations by name: types, or text where a name is known to type checkers alone, or not yet."""
    while isinstance(function, partial):
        function = function.func
    target = function if inspect.isroutine(function) else getattr(type(function), "__call__", function)  # noqa: B004
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # noqa: BLE001  # one of them names what is not there: the others are found one by one
        return {name: _found(hint, target) for name, hint in getattr(target, "__annotations__", {}).items()}


def _found(hint: object, target: object) -> object:
    """One annotation as a type, if its names are known."""
    if not isinstance(hint, str):
        return hint
    scope = getattr(inspect.unwrap(target), "__globals__", {})  # type: ignore[arg-type]  # it is a function
    alone = type("Alone", (), {"__annotations__": {"hint": hint}})
    try:
        return typing.get_type_hints(alone, scope, include_extras=True)["hint"]
    except Exception:  # noqa: BLE001  # then the text of the annotation decides
        return hint


def parts_of(hint: object) -> tuple[object, ...]:
    """What an annotation allows: the parts of a Union or Optional, without Annotated and the names of type aliases. Of
    text, the names of the parts.
    """
    if isinstance(hint, str):
        try:
            return tuple(_named(ast.parse(hint.strip(), mode="eval").body))
        except SyntaxError:
            return (hint,)
    alias = getattr(typing, "TypeAliasType", ())  # of Python 3.12
    origin = typing.get_origin(hint)
    if isinstance(hint, alias):
        return parts_of(hint.__value__)
    if isinstance(origin, alias):
        return parts_of(origin.__value__[typing.get_args(hint)])
    if origin is typing.Annotated:
        return parts_of(typing.get_args(hint)[0])
    if origin is typing.Union or isinstance(hint, types.UnionType):
        return tuple(part for each in typing.get_args(hint) for part in parts_of(each))
    return (hint,)


def _named(node: ast.expr) -> Iterator[str]:
    """The names in the text of an annotation that `parts_of` would find in the annotation itself."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (part for part in parts_of(node.value) if isinstance(part, str))
    elif isinstance(node, ast.BinOp):
        yield from _named(node.left)
        yield from _named(node.right)
    elif isinstance(node, ast.Subscript):
        (name,) = _named(node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in ("Optional", "Union", "Annotated"):
            for part in inner[:1] if name == "Annotated" else inner:
                yield from _named(part)
        else:
            yield name
    else:
        yield node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def name_of(function: object) -> str:
    """What it is called in messages."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", None) or repr(function)
