"""`Depends`: an argument of a function that a factory makes for each call, or once for the process."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter
from typing import Any, Literal

from telex.errors import BadOption

Scope = Literal["call", "process"]
"""The time for which a dependency lives: one call, or as long as its hub is open."""


class Depends:
    """The mark of an argument that ``factory`` makes: ``db: Annotated[Database, telex.Depends(open_database)]``.

    ``factory`` is a function, sync or async, that returns the value, or a generator function that yields it once and
    cleans up after its ``yield``. Its own arguments are dependencies, too. With the scope "call" it is called for each
    call, once however often the call needs it, and cleans up after the call; an exception of the call is raised at its
    ``yield``. With "process" it is called once for a hub, when the hub opens, and cleans up when the hub closes.

    Raises `BadOption`.
    """

    __slots__ = ("factory", "scope")

    def __init__(self, factory: Callable[..., Any], *, scope: Scope = "call") -> None:
        if not callable(factory):
            raise BadOption("factory", factory, "it must be a function that returns or yields the value")
        if scope not in ("call", "process"):
            raise BadOption("scope", scope, "it must be 'call' or 'process'")
        self.factory: Callable[..., Any] = factory
        """The function that makes the value."""
        self.scope: Scope = scope
        """The time for which the value lives."""

    def __repr__(self) -> str:
        return f"Depends({getattr(self.factory, '__qualname__', self.factory)!r}, scope={self.scope!r})"


def dependency_of(parameter: Parameter, hint: object) -> Depends | None:
    """Return the mark of an argument: its default, or a part of its ``Annotated`` hint. None without one."""
    if isinstance(parameter.default, Depends):
        return parameter.default
    return next((mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Depends)), None)
