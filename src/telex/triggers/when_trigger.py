"""`WhenTrigger`: a trigger that fires when a condition, or a polled function, becomes true."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from telex.triggers.conditions.evaluator import Fired
from telex.triggers.scheduled import ScheduledTrigger

if TYPE_CHECKING:
    from telex.triggers.monitor import ConditionMonitor
    from telex.triggers.poll import Poll
    from telex.triggers.timers import Timers


class WhenFirings(Protocol):
    """The part of `telex.triggers.firings.Firings` for conditions and polled functions."""

    def begin_condition(self, trigger: WhenTrigger) -> None:
        """Start evaluating the condition or function."""

    def became_true(self, trigger: WhenTrigger, fired: Sequence[Fired]) -> None:
        """Fire for these instants."""

    def became_false(self, trigger: WhenTrigger) -> None:
        """Note that the polled function is false again."""


class WhenTrigger(ScheduledTrigger):
    """A trigger with a condition. It fires once, or with ``rising`` each time that the condition becomes true."""

    __slots__ = ("_firings", "rising", "source", "watching")

    def __init__(self, timers: Timers, firings: WhenFirings, source: ConditionMonitor | Poll, *, rising: bool) -> None:
        super().__init__(timers)
        self.source: ConditionMonitor | Poll = source
        self.rising: bool = rising
        self.watching: bool = False
        """True when the evaluation has started."""
        self._firings = firings

    def describe(self) -> str:
        """Return the condition as text for people."""
        return self.source.describe()

    def missed(self) -> tuple[int, int]:
        """Return the number of lost messages, and of forgotten keys."""
        return self.source.lost, self.source.forgotten

    def begin(self) -> None:
        """Start: the hub is open."""
        self.start: float = self.timers.clock()
        self._firings.begin_condition(self)

    def watch(self) -> None:
        """Fire from now on for the changes of the started condition or function."""
        self.watching = True
        for reader in self.source.readers():
            self.timers.run(reader)
        self.source.rearm(self.timers.clock())

    def look(self) -> None:
        """Fire if the condition is true at the start."""
        if not self.ended:
            self.source.look()

    def due(self, now: float) -> None:
        """Evaluate the condition, or call the function."""
        self.source.due(now)

    def resume(self) -> None:
        """Continue after a pause in this process. Changes during the pause do not fire."""
        watching, now = self.watching and not self.ended, self.timers.clock()
        if watching:
            self.source.catch_up(now)
        self.paused = False
        if watching:
            self.source.rearm(now)

    def end(self) -> None:
        """Stop firing."""
        super().end()
        self.source.close()

    # -- called by the monitor of the condition, or by the poll

    def tell(self, fired: Sequence[Fired]) -> None:
        """Fire: the condition or function became true at these instants."""
        if not self.paused and not self.ended:
            self._firings.became_true(self, fired)

    def fell(self) -> None:
        """Note that the condition or function is false again."""
        if not self.ended:
            self._firings.became_false(self)

    def alarm(self, at: float | None) -> None:
        """Ask the timers to call it at ``at``."""
        self.timers.arm(self, at)

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` in a background task."""
        self.timers.run(work)
