"""`ScheduledTrigger`: the state of a trigger. Programs have its handle, a `telex.Trigger`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from telex.topics.publisher import Publisher

if TYPE_CHECKING:
    from telex.handlers.middleware import Middleware
    from telex.handlers.places import RunIn
    from telex.handlers.spec import HandlerSpec
    from telex.triggers.records import TriggerRecord
    from telex.triggers.timers import Timers


class ScheduledTrigger(ABC):
    """A trigger of one hub. The subclasses `TimeTrigger` and `WhenTrigger` decide when it fires.

    Times are in seconds since 1970. Attributes that `telex.Trigger` also has are documented there. A hub may have a
    hundred thousand triggers, so each uses little memory: it has slots, and a tuple of its functions.
    """

    __slots__ = (
        "ended",
        "failed",
        "fired",
        "handlers",
        "last",
        "late",
        "middleware",
        "name",
        "next",
        "paused",
        "paused_elsewhere",
        "publisher",
        "queue_entry",
        "run_in",
        "start",
        "timers",
        "topic",
        "waiting",
    )

    def __init__(self, timers: Timers) -> None:
        self.name: str = ""
        self.topic: str = ""
        self.start: float = 0.0
        self.last: float | None = None
        self.next: float | None = None
        self.fired: int = 0
        self.failed: int = 0
        self.late: float = 0.0
        self.paused: bool = False
        self.paused_elsewhere: bool = False
        self.ended: bool = False
        self.handlers: tuple[HandlerSpec, ...] = ()
        self.middleware: tuple[Middleware, ...] = ()
        """The middleware of its router, around the functions of the trigger."""
        self.run_in: RunIn | None = None
        """The place in which its functions are called, as the program gave it."""
        self.publisher: Publisher | None = None
        """The publisher that it used last, in memory."""
        self.waiting: int = 0
        """The number of firings that wait for a subscriber without room."""
        self.queue_entry: int = 0
        self.timers: Timers = timers

    @abstractmethod
    def describe(self) -> str:
        """Return the times of its firings as text for people."""

    @abstractmethod
    def begin(self) -> None:
        """Start: the hub is open."""

    @abstractmethod
    def due(self, now: float) -> None:
        """Fire, or find the next instant. The timers call this at the instant of `arm`."""

    @abstractmethod
    def resume(self) -> None:
        """Continue after a pause in this process."""

    def end(self) -> None:
        """Stop firing."""
        self.ended, self.next = True, None
        if self.queue_entry:
            self.timers.disarm(self)

    def missed(self) -> tuple[int, int]:
        """Return the number of lost messages, and of forgotten keys."""
        return 0, 0

    def take(self, record: TriggerRecord) -> None:
        """Copy the shared state from the stored record."""
        self.start, self.last, self.fired, self.late = record.start, record.last, record.fired, record.late
        self.paused_elsewhere = record.paused


class TopicUse:
    """The number of triggers that publish to each topic and have not ended."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, topic: str) -> None:
        """Count one more trigger of a topic."""
        self._counts[topic] = self._counts.get(topic, 0) + 1

    def remove(self, topic: str) -> None:
        """Count one trigger of a topic less."""
        left = self._counts.pop(topic, 0) - 1
        if left > 0:
            self._counts[topic] = left

    def is_free_of_others(self, trigger: ScheduledTrigger) -> bool:
        """Return true when no other trigger publishes to the topic of this one."""
        return self._counts.get(trigger.topic, 0) <= (0 if trigger.ended else 1)
