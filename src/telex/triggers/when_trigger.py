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
        """Begin to watch."""

    def became_true(self, trigger: WhenTrigger, fired: Sequence[Fired]) -> None:
        """Fire for these instants."""

    def became_false(self, trigger: WhenTrigger) -> None:
        """Note that the polled function is false again."""


class WhenTrigger(ScheduledTrigger):
    """A trigger of a condition. It fires once, or with ``rising`` each time that the condition becomes true."""

    __slots__ = ("_firings", "rising", "source", "watching")

    def __init__(self, timers: Timers, firings: WhenFirings, source: ConditionMonitor | Poll, *, rising: bool) -> None:
        super().__init__(timers)
        self.source: ConditionMonitor | Poll = source
        self.rising: bool = rising
        self.watching: bool = False
        """True when the source has begun."""
        self._firings = firings

    def describe(self) -> str:
        """Say when it fires, for people."""
        return self.source.describe()

    def missed(self) -> tuple[int, int]:
        """Return the number of messages that were lost, and of keys that were forgotten."""
        return self.source.lost, self.source.forgotten

    def begin(self) -> None:
        """Begin: the hub is open."""
        self.start = self.timers.clock()
        self._firings.begin_condition(self)

    def watch(self) -> None:
        """Have the source, which has begun, tell what happens from now on."""
        self.watching = True
        for reader in self.source.readers():
            self.timers.run(reader)
        self.source.rearm(self.timers.clock())

    def look(self) -> None:
        """See whether the condition is true as it begins."""
        if not self.ended:
            self.source.look()

    def due(self, now: float) -> None:
        """Handle that its time has come."""
        self.source.due(now)

    def resume(self) -> None:
        """Go on after a pause in this process. Nothing is fired for what became true meanwhile."""
        watching, now = self.watching and not self.ended, self.timers.clock()
        if watching:
            self.source.catch_up(now)
        self.paused = False
        if watching:
            self.source.rearm(now)

    def end(self) -> None:
        """Fire no more."""
        super().end()
        self.source.close()

    # -- called by the source

    def tell(self, fired: Sequence[Fired]) -> None:
        """Fire: the source became true at these instants."""
        if not self.paused and not self.ended:
            self._firings.became_true(self, fired)

    def fell(self) -> None:
        """Note that the source is false again."""
        if not self.ended:
            self._firings.became_false(self)

    def alarm(self, at: float | None) -> None:
        """Have the source called at ``at``."""
        self.timers.arm(self, at)

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` in a background task."""
        self.timers.run(work)
