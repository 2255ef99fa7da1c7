"""`BlockingTrigger` and `BlockingVariable`: triggers without asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from telex.blocking.thread import HubThread
from telex.triggers.conditions.condition import Condition
from telex.triggers.trigger import Trigger as AsyncTrigger
from telex.triggers.trigger import TriggerStatistics
from telex.triggers.variable import Variable as AsyncVariable

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class BlockingTrigger:
    """A trigger of a blocking hub. As a decorator it registers a function that is called at each firing."""

    def __init__(self, trigger: AsyncTrigger, thread: HubThread) -> None:
        self._trigger = trigger
        self._thread = thread

    @property
    def name(self) -> str:
        """The name of the trigger."""
        return self._trigger.name

    @property
    def topic(self) -> str:
        """The topic that its firings are published to."""
        return self._trigger.topic

    def __call__(self, function: F) -> F:
        """Call ``function`` at each firing. Raises `BadHandler`, `BadName`, `BadOption`."""
        return self._thread.call(lambda: self._trigger(function))

    def pause(self) -> None:
        """Stop firing in this process, until `resume`."""
        self._thread.call(self._trigger.pause)

    def resume(self) -> None:
        """Fire again in this process."""
        self._thread.call(self._trigger.resume)

    def fire(self) -> None:
        """Fire now, in addition to the schedule; as ``telex.Trigger.fire``."""
        self._thread.wait(self._trigger.fire())

    def cancel(self) -> None:
        """End the trigger in this process."""
        self._thread.call(self._trigger.cancel)

    def describe(self) -> str:
        """Return the times at which it fires, as text for people."""
        return self._trigger.describe()

    def statistics(self) -> TriggerStatistics:
        """Return the statistics of the trigger."""
        return self._thread.call(self._trigger.statistics)

    def __repr__(self) -> str:
        return f"<blocking {self._trigger!r}>"


class BlockingVariable(Generic[T]):
    """A variable of a blocking hub. Comparing it makes a condition for ``hub.when``."""

    def __init__(self, variable: AsyncVariable[T], thread: HubThread) -> None:
        self._variable = variable
        self._thread = thread

    @property
    def name(self) -> str:
        """The name of the variable, and of the topic of its changes."""
        return self._variable.name

    @property
    def initial(self) -> T:
        """The initial value."""
        return self._variable.initial

    @property
    def value(self) -> T:
        """The value; on a shared engine, the latest one that this process has received."""
        return self._variable.value

    def set(self, value: T) -> T:
        """Set the value and return it; as ``telex.Variable.set``."""
        return self._thread.wait(self._variable.set(value))

    def add(self, amount: T) -> T:
        """Add ``amount`` to the value, and return the new value; as ``telex.Variable.add``."""
        return self._thread.wait(self._variable.add(amount))

    def update(self, function: Callable[[T], T]) -> T:
        """Change the value by a function of it, which the hub's thread calls; as ``telex.Variable.update``."""
        return self._thread.wait(self._variable.update(function))

    def __ge__(self, bound: T) -> Condition:
        return self._variable >= bound

    def __gt__(self, bound: T) -> Condition:
        return self._variable > bound

    def __le__(self, bound: T) -> Condition:
        return self._variable <= bound

    def __lt__(self, bound: T) -> Condition:
        return self._variable < bound

    def __eq__(self, bound: object) -> Condition:  # type: ignore[override]  # the result is a condition
        return self._variable == bound

    def __ne__(self, bound: object) -> Condition:  # type: ignore[override]  # the result is a condition
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
