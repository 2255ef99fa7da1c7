"""`TriggerSpec`: a trigger of a router, from which each hub that includes the router makes a trigger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from telex.errors import BadHandler
from telex.handlers.middleware import Middleware
from telex.names import check_topic
from telex.triggers.trigger import Trigger

if TYPE_CHECKING:
    from telex.triggers.scheduled import ScheduledTrigger
    from telex.triggers.scheduler import Scheduler

F = TypeVar("F", bound=Callable[..., object])
Maker = Callable[["Scheduler", str], "ScheduledTrigger"]
"""Makes the state of a trigger for a scheduler. The prefix is put before the topics of its condition."""


class TriggerSpec:
    """A trigger of a router, made by ``router.every`` and the like. As a decorator it registers a function that is
    called at each firing. With ``topic=`` the firings are published to that topic, under the router's prefix.
    """

    def __init__(
        self, make: Maker, name: str | None, topic: str | None, prefix: str = "", middleware: Sequence[Middleware] = ()
    ) -> None:
        self._make = make
        self._name = name if name is None else check_topic(name)
        self._topic = topic if topic is None else check_topic(topic, "topic")
        self._prefix = prefix
        self._middleware = tuple(middleware)
        self._functions: list[Callable[..., object]] = []
        self._derived: list[Callable[[Callable[..., object]], object]] = []

    def __call__(self, function: F) -> F:
        """Register a function that is called at each firing. Raises `BadHandler`; `BadName` and `BadOption` when the
        router was included before.
        """
        if not callable(function):
            raise BadHandler(repr(function), "decorate a function with the trigger")
        self._functions.append(function)
        for derived in self._derived:
            derived(function)
        return function

    def under(self, prefix: str) -> TriggerSpec:
        """Return a copy under one more prefix."""
        return self._derive(":".join(part for part in (prefix, self._prefix) if part), self._middleware)

    def within(self, middleware: Sequence[Middleware]) -> TriggerSpec:
        """Return a copy with ``middleware`` around its functions, outermost."""
        return self._derive(self._prefix, (*middleware, *self._middleware))

    def _derive(self, prefix: str, middleware: Sequence[Middleware]) -> TriggerSpec:
        derived = TriggerSpec(self._make, self._name, self._topic, prefix, middleware)
        for function in self._functions:
            derived(function)
        self._derived.append(derived)
        return derived

    def carry_out(self, scheduler: Scheduler) -> None:
        """Create the trigger in a hub's scheduler. Raises `BadOption`, `BadName`."""
        state = self._make(scheduler, self._prefix)
        name, topic = self._under(self._name), self._under(self._topic)
        trigger = Trigger(state, scheduler, name, topic, self._prefix, self._middleware)
        for function in self._functions:
            trigger(function)
        self._derived.append(trigger)

    def _under(self, name: str | None) -> str | None:
        return name if name is None or not self._prefix else f"{self._prefix}:{name}"
