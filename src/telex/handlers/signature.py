"""`read_signature`: reads the arguments of a decorated function from its annotations."""

from __future__ import annotations

import ast
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from telex.codec.content import Content
from telex.errors import BadHandler, BadOption
from telex.handlers.depends import Depends, dependency_of


class ArgumentKinds(msgspec.Struct, frozen=True):
    """The kinds of arguments that the functions of one decorator may take: "content", "hub", and those given here.

    ``by_class`` maps annotated classes to kinds, ``by_name`` maps argument names. The texts complete errors:
    ``purpose`` names the purpose that a class or a value cannot serve, ``yields`` and ``twice`` tell how to fix a
    function that yields or takes a kind twice.
    """

    by_class: Mapping[type[Any], str]
    by_name: Mapping[str, str]
    purpose: str
    yields: str
    twice: str
    streams: bool = False
    """True when functions may be async generators."""
    foreign: Mapping[str, str] = {}
    """The names of classes of telex that other decorators pass, each with the fix."""

    def of(self, hint: object) -> str:
        """Return the kind of an argument with this annotation; for a Union, the kind of its first part that is not
        content.
        """
        return next((kind for kind in map(self._of_part, parts_of(hint)) if kind != "content"), "content")

    def _of_part(self, part: object) -> str:
        if isinstance(part, str):
            kinds = {cls.__name__: kind for cls, kind in self.by_class.items()} | {"Hub": "hub"}
            return kinds.get(part, "content")
        origin = typing.get_origin(part) or part
        for base in origin.__mro__ if isinstance(origin, type) else ():  # issubclass runs code of a metaclass
            if base in self.by_class:
                return self.by_class[base]
            if base.__module__ == "telex.hub" and base.__name__ == "Hub":
                return "hub"
            if base.__module__ == "telex.blocking.hub" and base.__name__ == "BlockingHub":
                return "blocking_hub"
        return "content"

    def misplaced(self, hint: object) -> str | None:
        """Return the fix of an annotation that belongs to another decorator; None for other annotations."""
        for part in parts_of(hint):
            origin = typing.get_origin(part) or part
            if isinstance(origin, type) and origin.__module__.startswith("telex.") and origin.__name__ in self.foreign:
                return self.foreign[origin.__name__]
        return None

    def content_of(self, hint: object) -> Content[Any] | None:
        """Return the type of the content in an annotation, such as X of ``Message[X]``; None without one."""
        kind = self.of(hint)
        if kind != "content":
            part = next(part for part in parts_of(hint) if self._of_part(part) == kind)
            hint = next(iter(typing.get_args(part)), Any)
        return content_type(hint)


class Signature(msgspec.Struct, frozen=True):
    """The arguments of a function: their ``kinds`` in order, and the annotated types of the ``content`` and the
    ``result``, None without one.
    """

    kinds: tuple[str, ...]
    content: Content[Any] | None
    result: Content[Any] | None


def read_signature(function: object, kinds: ArgumentKinds) -> Signature:
    """Return the signature of a decorated function. Raises `BadHandler` when it cannot be called with ``kinds``.

    A second argument for the content is left alone if it has a default.
    """
    name = name_of(function)
    if not callable(function) or isinstance(function, type):
        raise BadHandler(name, f"decorate a function; a class or a value cannot {kinds.purpose}")
    streams = kinds.streams and is_stream(function)
    if inspect.isgeneratorfunction(function) or (inspect.isasyncgenfunction(function) and not streams):
        raise BadHandler(name, kinds.yields)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Signature(("content",), None, None)  # a builtin, such as print
    hints = hints_of(function)
    content = None
    found: list[str] = []
    for parameter in parameters:
        hint = hints.get(parameter.name, parameter.annotation)
        if dependency_of(parameter, hint) is not None:
            continue
        fix = kinds.misplaced(hint)
        if fix is not None and parameter.default is parameter.empty:
            raise BadHandler(name, f"its argument {parameter.name!r} is of another decorator: {fix}")
        kind = kinds.by_name.get(parameter.name) or kinds.of(hint)
        if content is None and parameter.name in hints and parameter.name not in kinds.by_name:
            content = kinds.content_of(hint)
        _add_kind(found, kind, parameter, name, kinds)
    result = hints.get("return", Any)
    if streams:  # the type of the parts
        result = next(iter(typing.get_args(result)), Any)
    return Signature(tuple(found), content, content_type(result))


def _add_kind(found: list[str], kind: str, parameter: inspect.Parameter, name: str, kinds: ArgumentKinds) -> None:
    has_default = parameter.default is not parameter.empty
    if parameter.kind is parameter.VAR_POSITIONAL:
        if "content" not in found and "message" not in found:
            found.append("content")
    elif parameter.kind is parameter.KEYWORD_ONLY:
        if not has_default:
            raise BadHandler(name, f"its argument {parameter.name!r} is keyword-only; arguments are passed by position")
    elif parameter.kind is not parameter.VAR_KEYWORD:
        if kind not in found and not (kind == "content" and has_default and found):
            found.append(kind)
        elif not has_default:
            text = f"it has several arguments to be filled with the {kind}, {parameter.name!r} among them; "
            raise BadHandler(name, text + kinds.twice)


def content_type(hint: object) -> Content[Any] | None:
    """Return the type of an annotation if plain data can be converted to it, else None."""
    if hint is Any or hint is object or isinstance(hint, (str, typing.TypeVar)):
        return None
    if any(getattr(part, "_is_protocol", False) for part in parts_of(hint)):
        return None
    try:
        # Content accepts more than classes
        return Content(type(None) if hint is None else hint)  # type: ignore[arg-type]
    except BadOption:
        return None


def bind_arguments(
    function: Callable[..., object], kinds: tuple[str, ...], given: str, sources: Mapping[str, Callable[[Any], object]]
) -> Callable[[Any], Any]:
    """Return a function of one object that calls ``function`` with its arguments. ``given`` is the kind of the object
    itself. ``sources`` get other kinds from the object; without a source, the kind is the object's attribute of that
    name.
    """
    if kinds == (given,):
        return function
    if kinds == ("content",):
        return lambda source: function(source.content)
    if kinds == ("content", given):
        return lambda source: function(source.content, source)
    if not kinds:
        return lambda source: function()
    known = {given: lambda source: source, **sources}
    take = [known.get(kind) or attrgetter(kind) for kind in kinds]
    return lambda source: function(*[each(source) for each in take])


def marks_of(function: Callable[..., object]) -> dict[str, Depends]:
    """Return the dependencies of a function by the names of its arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}  # a builtin, such as print
    hints = hints_of(function)
    marks = {each.name: dependency_of(each, hints.get(each.name, each.annotation)) for each in parameters}
    return {name: mark for name, mark in marks.items() if mark is not None}


def is_stream(function: object) -> bool:
    """Return true when calling the function returns an async generator."""
    while isinstance(function, partial):
        function = function.func
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(getattr(function, "__call__", None))  # noqa: B004


def blocking_hub_for(function: Callable[..., object], hub: object) -> object:
    """Return the argument of a function for a `telex.blocking.Hub`, made from the running ``hub``."""
    for hint in hints_of(function).values():
        for part in parts_of(hint):
            for base in part.__mro__ if isinstance(part, type) else ():
                if base.__module__ == "telex.blocking.hub" and base.__name__ == "BlockingHub":
                    # The module of the annotated class, which this module may not import.
                    return sys.modules[base.__module__].hub_of_calls(hub)
    raise AssertionError("a function with this argument annotates it")


def calls_async(function: Callable[..., object]) -> bool:
    """Return true when calling the function returns an awaitable."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def hints_of(function: Callable[..., object]) -> Mapping[str, object]:
    """Return the annotations of a function by name: types, or text when a name in it is unknown at run time."""
    while isinstance(function, partial):
        function = function.func
    target = function if inspect.isroutine(function) else getattr(type(function), "__call__", function)  # noqa: B004
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # noqa: BLE001  # a name is unknown: each annotation is evaluated alone
        return {name: _found(hint, target) for name, hint in getattr(target, "__annotations__", {}).items()}


def _found(hint: object, target: object) -> object:
    """Return one annotation as a type, or as text when a name in it is unknown."""
    if not isinstance(hint, str):
        return hint
    scope = getattr(inspect.unwrap(target), "__globals__", {})  # type: ignore[arg-type]  # `target` is a function
    alone = type("Alone", (), {"__annotations__": {"hint": hint}})
    try:
        return typing.get_type_hints(alone, scope, include_extras=True)["hint"]
    except Exception:  # noqa: BLE001  # the text decides
        return hint


def parts_of(hint: object) -> tuple[object, ...]:
    """Return the parts of a Union or Optional, without Annotated and type aliases; for text, the names of the parts."""
    if isinstance(hint, str):
        try:
            return tuple(_named(ast.parse(hint.strip(), mode="eval").body))
        except SyntaxError:
            return (hint,)
    alias = getattr(typing, "TypeAliasType", ())  # Python 3.12 and newer
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
    """Yield the names in the text of an annotation that `parts_of` would find in the annotation itself."""
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
    """Return the name of a function for messages."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", None) or repr(function)
