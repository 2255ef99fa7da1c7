"""`BlockingTrigger` and `BlockingVariable`: those of a program that is not async."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from telex.blocking.place import HubThread
from telex.triggers.conditions.condition import Condition
from telex.triggers.trigger import Trigger as AsyncTrigger
from telex.triggers.trigger import TriggerStatistics
from telex.triggers.variable import Variable as AsyncVariable

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class BlockingTrigger:
    """A `telex.Trigger` behind a thread. As a decorator it has a function called in the thread of the hub."""

    def __init__(self, trigger: AsyncTrigger, place: HubThread) -> None:
        self._trigger = trigger
        self._place = place

    @property
    def name(self) -> str:
        """The name of the trigger."""
        return self._trigger.name

    @property
    def topic(self) -> str:
        """The topic that its firings are published to."""
        return self._trigger.topic

    def __call__(self, function: F) -> F:
        """Have ``function`` called at each firing. Raises `BadHandler`, `BadName`, `BadOption`."""
        return self._place.call(lambda: self._trigger(function))

    def pause(self) -> None:
        """Fire no more in this process, until `resume`."""
        self._place.call(self._trigger.pause)

    def resume(self) -> None:
        """Go on, in this process."""
        self._place.call(self._trigger.resume)

    def fire(self) -> None:
        """Fire now, by hand, beside its schedule; as the coroutine of this name."""
        self._place.open().wait(self._trigger.fire())

    def cancel(self) -> None:
        """End it in this process."""
        self._place.call(self._trigger.cancel)

    def describe(self) -> str:
        """When it fires, as text for people."""
        return self._trigger.describe()

    def statistics(self) -> TriggerStatistics:
        """The trigger at this moment."""
        return self._place.call(self._trigger.statistics)

    def __repr__(self) -> str:
        return f"<blocking {self._trigger!r}>"


class BlockingVariable(Generic[T]):
    """A `telex.Variable` behind a thread. Comparing it makes a condition for ``hub.when``."""

    def __init__(self, variable: AsyncVariable[T], place: HubThread) -> None:
        self._variable = variable
        self._place = place

    @property
    def name(self) -> str:
        """The name of the variable, and of the topic of its changes."""
        return self._variable.name

    @property
    def initial(self) -> T:
        """The value that it begins with."""
        return self._variable.initial

    @property
    def value(self) -> T:
        """The value; on a shared engine, the last one that this process has heard of."""
        return self._variable.value

    def set(self, value: T) -> T:
        """Give it a value; as the coroutine of this name."""
        return self._place.open().wait(self._variable.set(value))

    def add(self, amount: T) -> T:
        """Add to it, and return the new value; as the coroutine of this name."""
        return self._place.open().wait(self._variable.add(amount))

    def update(self, function: Callable[[T], T]) -> T:
        """Change it by a function of its value, called in the thread of the hub; as the coroutine of this name."""
        return self._place.open().wait(self._variable.update(function))

    def stored(self) -> tuple[T, int]:
        """The value in a shared engine, and its revision; as the coroutine of this name."""
        return self._place.open().wait(self._variable.stored())

    def __ge__(self, bound: T) -> Condition:
        return self._variable >= bound

    def __gt__(self, bound: T) -> Condition:
        return self._variable > bound

    def __le__(self, bound: T) -> Condition:
        return self._variable <= bound

    def __lt__(self, bound: T) -> Condition:
        return self._variable < bound

    def __eq__(self, bound: object) -> Condition:  # type: ignore[override]  # a condition, not an answer
        return self._variable == bound

    def __ne__(self, bound: object) -> Condition:  # type: ignore[override]  # a condition, not an answer
        return self._variable != bound

    def __bool__(self) -> NoReturn:
        bool(self._variable)
        raise AssertionError("a variable is neither true nor false")

    def __hash__(self) -> int:
        return id(self)

    if not TYPE_CHECKING:  # type checkers refuse these by themselves

        def _apart(self, *other: Any) -> NoReturn:
            self._variable._apart(*other)

        __and__ = __rand__ = __or__ = __ror__ = __invert__ = __add__ = __radd__ = __sub__ = __iadd__ = __isub__ = _apart

    def __repr__(self) -> str:
        return f"<blocking {self._variable!r}>"
