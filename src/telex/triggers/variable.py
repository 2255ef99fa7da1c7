"""`Variable`: a value whose changes are messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from telex.errors import BadOption, Misuse
from telex.triggers.conditions.compare import Compare, Op
from telex.triggers.conditions.condition import Condition
from telex.triggers.conditions.stream import APART, Rate

if TYPE_CHECKING:
    from telex.triggers.values import VariableValue

T = TypeVar("T")
FUNCTION = "give a function of the value, such as lambda n: n + 1, or replace it by `set`"


class Variable(Generic[T]):
    """A variable of a hub, made by ``hub.variable(name, initial)``. Each change is published to the topic of its name,
    as a `Change`. Setting the current value publishes nothing. Comparing it makes a condition for ``hub.when``.

    On an engine that stores messages all processes share one stored value, which changes by compare-and-set.
    """

    def __init__(self, value: VariableValue[T]) -> None:
        self.name: str = value.name
        """The name, which is also the topic of its changes."""
        self.initial: T = value.initial
        """The initial value."""
        self._value = value

    @property
    def value(self) -> T:
        """The value; on a shared engine, that of the last change that this process has read. Assigning to it raises
        `Misuse`.
        """
        return self._value.value

    if not TYPE_CHECKING:  # type checkers refuse it by themselves

        @value.setter
        def value(self, value: object) -> NoReturn:
            fix = "change it by `await v.set(...)`, or in memory by `v.set_nowait(...)`"
            raise Misuse(f"assign to the value of the variable {self.name!r}", fix)

    # -- changing

    async def set(self, value: T) -> T:
        """Set the value, publish the change, and return the value.

        A stored value of another type, from another program, is replaced: the `Change` then has the initial value as
        the old value. Raises the exceptions of publishing; `ContentError` for a value of another type.
        """
        return await self._value.update(lambda before: value, replaces=True)

    async def add(self, amount: T) -> T:
        """Add to the value and return the sum. Raises as `set`; `BadOption` for an amount that cannot be added."""
        return await self.update(self._plus(amount))

    async def update(self, function: Callable[[T], T]) -> T:
        """Change the value by a function of the old value, and return the new value. On a shared engine the function is
        called again when another process has changed the value. Raises the exceptions of the function, and as `set`.
        """
        return await self._value.update(_checked(function), replaces=False)

    def set_nowait(self, value: T) -> T:
        """Set the value at once, as `set`. Raises `WouldBlock` when the change would have to wait: always, on a shared
        engine.
        """
        return self.update_nowait(lambda before: value)

    def add_nowait(self, amount: T) -> T:
        """Add to the value at once, and return the sum. Raises `WouldBlock` when the change would have to wait: always,
        on a shared engine; `BadOption` for an amount that cannot be added; else as `set`.
        """
        return self.update_nowait(self._plus(amount))

    def update_nowait(self, function: Callable[[T], T]) -> T:
        """Change the value at once, as `update`. Raises as `set_nowait`."""
        return self._value.update_nowait(_checked(function))

    def _plus(self, amount: T) -> Callable[[T], T]:
        def plus(before: T) -> T:
            try:
                return before + amount  # type: ignore[operator,no-any-return]  # not every T can be added
            except TypeError as error:
                raise BadOption("amount", amount, f"adding it to {before!r} raises: {error}") from None

        return plus

    # -- conditions

    def __ge__(self, bound: T) -> Condition:
        return self._compared(">=", bound)

    def __gt__(self, bound: T) -> Condition:
        return self._compared(">", bound)

    def __le__(self, bound: T) -> Condition:
        return self._compared("<=", bound)

    def __lt__(self, bound: T) -> Condition:
        return self._compared("<", bound)

    def __eq__(self, bound: object) -> Condition:  # type: ignore[override]  # the result is a condition
        return self._compared("==", bound)

    def __ne__(self, bound: object) -> Condition:  # type: ignore[override]  # the result is a condition
        return self._compared("!=", bound)

    def _compared(self, op: Op, bound: object) -> Condition:
        if isinstance(bound, (Variable, Rate, Condition)):
            raise BadOption("bound", bound, f"{self.name!r} must be compared with a plain value; {APART}")
        return Compare(self.name, op, bound)

    def __bool__(self) -> NoReturn:
        raise Misuse(
            f"use {self!r} as true or false", "read its value, v.value, or compare the variable in hub.when(...)"
        )

    def _apart(self, *other: object) -> NoReturn:
        fix = "put comparisons in parentheses, (v > 1) & (w > 1); to read it, v.value; to change it, await v.add(1)"
        raise Misuse(f"calculate with {self!r}", fix)

    if not TYPE_CHECKING:  # type checkers refuse these by themselves
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _apart
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __abs__ = _apart
        __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _apart
        __iadd__ = __isub__ = __int__ = __float__ = __len__ = __getitem__ = __setitem__ = __delitem__ = _apart

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r}: {self.value!r}>"


def value_of(variable: Variable[T]) -> VariableValue[T]:
    """Return the internal value of a variable."""
    return variable._value


def _checked(function: Callable[[T], T]) -> Callable[[T], T]:
    if not callable(function):
        raise BadOption("function", function, FUNCTION)
    return function
