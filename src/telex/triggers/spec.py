"""`TriggerSpec`: a trigger of a router. Each hub that takes the router in makes one of its own of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from telex.errors import BadHandler
from telex.handlers.middleware import Middleware
from telex.names import check_topic

if TYPE_CHECKING:
    from telex.triggers.scheduler import Scheduler
    from telex.triggers.trigger import Trigger

F = TypeVar("F", bound=Callable[..., object])
Maker = Callable[["Scheduler", str, str | None, str | None], "Trigger"]
"""Makes a trigger of a scheduler, a prefix, a name and a topic."""


class TriggerSpec:
    """Made by ``router.every`` and the like: what a `Trigger` is to be. As a decorator it has a function called at each
    firing; with ``topic=`` the firings are published there, under the router's prefix.
    """

    def __init__(
        self, make: Maker, name: str | None, topic: str | None, prefix: str = "", middleware: Sequence[Middleware] = ()
    ) -> None:
        self._make = make
        self._name = name if name is None else check_topic(name)
        self._topic = topic if topic is None else check_topic(topic)
        self._prefix = prefix
        self._middleware = tuple(middleware)
        self._functions: list[Callable[..., object]] = []
        self._heirs: list[Callable[[Callable[..., object]], object]] = []

    def __call__(self, function: F) -> F:
        """Have ``function`` called at each firing. Raises `BadHandler`; `BadName` and `BadOption` where it was taken
        in already."""
        if not callable(function):
            raise BadHandler(repr(function), "decorate a function with the trigger")
        self._functions.append(function)
        for heir in self._heirs:
            heir(function)
        return function

    def under(self, prefix: str) -> TriggerSpec:
        """The same under one more prefix."""
        return self._heir(":".join(part for part in (prefix, self._prefix) if part), self._middleware)

    def within(self, middleware: Sequence[Middleware]) -> TriggerSpec:
        """The same with ``middleware`` around its functions, outermost."""
        return self._heir(self._prefix, (*middleware, *self._middleware))

    def _heir(self, prefix: str, middleware: Sequence[Middleware]) -> TriggerSpec:
        heir = TriggerSpec(self._make, self._name, self._topic, prefix, middleware)
        for function in self._functions:
            heir(function)
        self._heirs.append(heir)
        return heir

    def carry_out(self, scheduler: Scheduler) -> None:
        """Make the trigger. Raises `BadOption`, `BadName`."""
        trigger = self._make(scheduler, self._prefix, self._under(self._name), self._under(self._topic))
        trigger.prefix, trigger.middleware = self._prefix, self._middleware
        for function in self._functions:
            trigger(function)
        self._heirs.append(trigger)

    def _under(self, name: str | None) -> str | None:
        return name if name is None or not self._prefix else f"{self._prefix}:{name}"
