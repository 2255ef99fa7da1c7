"""`Compare`: the condition that a variable passes a bound. Pure, like all conditions."""

from __future__ import annotations

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Literal

from telex.errors import BadOption
from telex.triggers.conditions.condition import Condition, Moment, Step

Op = Literal[">=", ">", "<=", "<", "==", "!="]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {">=": ge, ">": gt, "<=": le, "<": lt, "==": eq, "!=": ne}
UP, DOWN = (">=", ">"), ("<=", "<")


class Compare(Condition):
    """A comparison of a variable with a bound. Its state is true while the condition holds."""

    __slots__ = ("_apart", "_test", "bound", "op", "slack", "variable")

    def __init__(self, variable: str, op: Op, bound: Any, slack: float = 0.0) -> None:
        self.variable: str = variable
        self.op: Op = op
        self.bound: Any = bound
        self.slack: float = slack
        self._test = OPERATORS[op]
        self._apart = bound if not slack else bound - slack if op in UP else bound + slack

    @property
    def variables(self) -> frozenset[str]:
        return frozenset((self.variable,))

    def begin(self, now: float) -> bool:
        return False

    def step(self, state: bool, moment: Moment) -> Step:
        holds = bool(self._test(moment.values[self.variable], self._apart if state else self.bound))
        return holds, holds, None

    def measures(self, state: bool, moment: Moment) -> dict[str, Any]:
        return {self.variable: moment.values[self.variable]}

    def rests(self, state: bool, now: float) -> bool:
        return not state or not self.slack

    def minds(self, variable: str, before: Any, value: Any) -> bool:
        if variable != self.variable:
            return False
        test, bounds = self._test, (self.bound, self._apart)
        try:
            return any(bool(test(before, bound)) != bool(test(value, bound)) for bound in bounds)
        except Exception:  # noqa: BLE001  # a comparison may raise anything: `step` reports it
            return True

    def _slackened(self, hysteresis: float) -> Condition:
        if self.op not in UP + DOWN:
            return self
        if isinstance(self.bound, bool) or not isinstance(self.bound, (int, float)):
            raise BadOption(
                "hysteresis",
                hysteresis,
                f"hysteresis needs a comparison of numbers, and {self!r} compares something else",
            )
        return Compare(self.variable, self.op, self.bound, hysteresis)

    def __repr__(self) -> str:
        return f"{self.variable} {self.op} {self.bound!r}"

    @property
    def inner(self) -> str:
        return f"({self!r})"
