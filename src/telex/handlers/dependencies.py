"""`Dependencies`: makes the arguments that functions mark with `Depends`. A function's plan is made once, when the
function is bound; a call follows the plan.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from telex.errors import BadHandler, BadOption, Closed
from telex.handlers.depends import Depends, Scope
from telex.handlers.signature import calls_async, is_stream, marks_of, name_of

if TYPE_CHECKING:
    from typing import Self

Factory = Callable[..., Any]


class Step(msgspec.Struct, frozen=True):
    """The making of one value. ``needs`` are the places of the values that the factory takes."""

    factory: Factory
    scope: Scope
    needs: tuple[int, ...]
    is_async: bool
    """True when making the value is awaited."""
    cleans_up: bool
    """True when ``make`` returns a context manager."""
    make: Factory


class Plan(msgspec.Struct, frozen=True):
    """The steps for the arguments of a function, in order."""

    steps: tuple[Step, ...]
    filled: tuple[tuple[str, int], ...]
    """The names of the arguments that are dependencies, each with the place of its value."""
    given: tuple[str, ...] | None
    """The names of the other arguments, when a dependency comes before one of them; else None."""

    def call(self, function: Callable[..., Any], values: Sequence[Any], given: Sequence[Any]) -> Any:
        """Call the function with values and the given arguments."""
        made = {name: values[place] for name, place in self.filled}
        if self.given is None:
            return function(*given, **made)
        return function(**dict(zip(self.given, given, strict=False)), **made)


class Dependencies:
    """The dependencies of the functions that one hub calls; an async context manager for those that live with the hub.

    ``overrides`` are factories to call in the place of others. Raises `BadOption`.
    """

    def __init__(self, overrides: Mapping[Factory, Factory] | None = None) -> None:
        fix = "it must be a dict of a factory for each factory that it replaces"
        if overrides is not None and not isinstance(overrides, Mapping):
            raise BadOption("overrides", overrides, fix)
        for factory, other in (overrides or {}).items():
            if not callable(factory) or not callable(other):
                raise BadOption("overrides", overrides, fix)
        self._overrides = dict(overrides or {})
        self._plans: list[Plan] = []
        self._kept: dict[Factory, Any] = {}  # the values that live with the hub
        self._exits: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        """Make the values that live with the hub. Raises the errors of their factories."""
        async with AsyncExitStack() as exits:
            for plan in self._plans:
                values: list[Any] = []
                for step in plan.steps:
                    values.append(await self._keep(step, values, exits) if step.scope == "process" else None)
            self._exits = exits.pop_all()
        return self

    async def _keep(self, step: Step, values: Sequence[Any], exits: AsyncExitStack) -> Any:
        if step.factory not in self._kept:
            # Each value is cleaned up by itself: an error of another one's factory is not raised at its yield.
            async with AsyncExitStack() as own:
                self._kept[step.factory] = await _made(step, values, own)
                exits.push_async_callback(own.pop_all().aclose)
        return self._kept[step.factory]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clean up the values that live with the hub, the last one first. Raises the errors of their factories."""
        if self._exits is not None:
            await self._exits.aclose()

    def wire(self, function: Callable[..., Any], *, in_thread: bool = False) -> Callable[..., Any]:
        """Return a function of the other arguments of ``function``, which makes its dependencies and calls it. Without
        dependencies this is ``function`` itself. ``in_thread``: a thread calls it. Raises as `declare`.
        """
        plan = self.declare(function, in_thread=in_thread)
        if plan is None:
            return function
        if is_stream(function):
            return self._streaming(function, plan)
        if not any((step.is_async or step.cleans_up) and step.scope == "call" for step in plan.steps):
            return self._plain(function, plan)
        return self._async(function, plan) if calls_async(function) else self._sync(function, plan)

    def declare(self, function: Callable[..., Any], *, in_thread: bool = False) -> Plan | None:
        """Return the plan of a function, None without dependencies, and note the values that live with the hub.

        Raises `BadHandler`; `Closed` when such a value would have to be made in the open hub.
        """
        if not marks_of(function):
            return None
        plan = self._planned(function)
        mine = [step for step in plan.steps if step.scope == "call"]
        for step in mine:
            if step.is_async and (in_thread or not (calls_async(function) or is_stream(function))):
                fix = f"{name_of(step.factory)} is async: make the function `async def`, or give scope='process'"
                raise BadHandler(name_of(function), fix)
        if self._exits is not None and any(s.factory not in self._kept for s in plan.steps if s.scope == "process"):
            raise Closed("a dependency of the process", "the hub is open: declare the function before, or use a call's")
        self._plans.append(plan)
        return plan

    # -- plans

    def _planned(self, function: Callable[..., Any]) -> Plan:
        steps: list[Step] = []
        marks, filled, others = marks_of(function), [], []
        mixed = False
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in marks:
                if parameter.kind is parameter.POSITIONAL_ONLY:
                    fix = f"its argument {parameter.name!r} is a dependency, which is passed by name: leave out the '/'"
                    raise BadHandler(name_of(function), fix)
                filled.append((parameter.name, self._place(marks[parameter.name], steps, (function,))))
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                mixed = mixed or bool(filled)
                others.append(parameter.name)
        return Plan(tuple(steps), tuple(filled), tuple(others) if mixed else None)

    def _place(self, mark: Depends, steps: list[Step], users: tuple[Factory, ...]) -> int:
        """Return the place of a dependency among ``steps``, to which it and its needs are added if they are new."""
        factory, name = self._overrides.get(mark.factory, mark.factory), name_of(mark.factory)
        if factory in users:
            raise BadHandler(name, "it depends on itself: " + " needs ".join(map(name_of, (*users, factory))))
        for place, step in enumerate(steps):
            if step.factory is factory and step.scope == mark.scope:
                return place
        marks = marks_of(factory)
        for parameter in inspect.signature(factory).parameters.values():
            if parameter.name not in marks and parameter.default is parameter.empty:
                fix = "a factory takes only dependencies: annotate it Annotated[..., telex.Depends(...)]"
                raise BadHandler(name_of(factory), f"its argument {parameter.name!r} is none; {fix}")
        for needed in marks.values():
            if mark.scope == "process" and needed.scope == "call":
                fix = f"{name_of(needed.factory)} lives for one call: give it scope='process', too"
                raise BadHandler(name, f"it lives with the hub, and {fix}")
        needs = tuple(self._place(needed, steps, (*users, factory)) for needed in marks.values())
        steps.append(_step(factory, mark.scope, needs))
        return len(steps) - 1

    # -- calls

    def _plain(self, function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
        """Return the function for a plan without awaiting and cleaning up."""
        steps = tuple((step.factory, step.needs, step.scope == "process") for step in plan.steps)
        kept, filled, is_mixed = self._kept, plan.filled, plan.given is not None

        def call(*given: Any) -> Any:
            values: list[Any] = []
            for make, needs, is_kept in steps:
                values.append(kept[make] if is_kept else make(*[values[place] for place in needs]) if needs else make())
            if is_mixed:
                return plan.call(function, values, given)
            return function(*given, **{name: values[place] for name, place in filled})

        return call

    def _sync(self, function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            values: list[Any] = []
            with ExitStack() as exits:
                for step in plan.steps:
                    if step.scope == "process":
                        values.append(self._kept[step.factory])
                        continue
                    made = step.make(*[values[place] for place in step.needs])
                    values.append(exits.enter_context(made) if step.cleans_up else made)
                try:
                    return plan.call(function, values, given)
                except BaseException as error:
                    failed = error
                    raise
            raise failed  # a dependency has caught it: the call has failed all the same

        return call

    def _async(self, function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
        if not any(step.cleans_up and step.scope == "call" for step in plan.steps):

            async def call(*given: Any) -> Any:
                return await plan.call(function, await self._values(plan, None), given)

            return call

        async def call_cleanly(*given: Any) -> Any:
            async with AsyncExitStack() as exits:
                values = await self._values(plan, exits)
                try:
                    return await plan.call(function, values, given)
                except BaseException as error:
                    failed = error
                    raise
            raise failed  # a dependency has caught it: the call has failed all the same

        return call_cleanly

    def _streaming(self, function: Callable[..., Any], plan: Plan) -> Callable[..., Any]:
        async def call(*given: Any) -> Any:
            failed: BaseException | None = None
            async with AsyncExitStack() as exits:
                values = await self._values(plan, exits)
                parts = await exits.enter_async_context(aclosing(plan.call(function, values, given)))
                try:
                    async for part in parts:
                        yield part
                except BaseException as error:
                    failed = error
                    raise
            if failed is not None:
                raise failed  # a dependency has caught it: the call has failed all the same

        return call

    async def _values(self, plan: Plan, exits: AsyncExitStack | None) -> list[Any]:
        values: list[Any] = []
        for step in plan.steps:
            is_kept = step.scope == "process"
            values.append(self._kept[step.factory] if is_kept else await _made(step, values, exits))
        return values


def _step(factory: Factory, scope: Scope, needs: tuple[int, ...]) -> Step:
    if inspect.isasyncgenfunction(factory):
        return Step(factory, scope, needs, is_async=True, cleans_up=True, make=asynccontextmanager(factory))
    if inspect.isgeneratorfunction(factory):
        return Step(factory, scope, needs, is_async=False, cleans_up=True, make=contextmanager(factory))
    return Step(factory, scope, needs, is_async=calls_async(factory), cleans_up=False, make=factory)


async def _made(step: Step, values: Sequence[Any], exits: AsyncExitStack | None) -> Any:
    """Return a new value. ``exits`` cleans it up; None when no step does."""
    made = step.make(*[values[place] for place in step.needs])
    if exits is None or not step.cleans_up:
        return await made if step.is_async else made
    return await exits.enter_async_context(made) if step.is_async else exits.enter_context(made)
