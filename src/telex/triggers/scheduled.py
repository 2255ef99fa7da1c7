"""`ScheduledTrigger`: the state of a trigger. `telex.Trigger` is its handle for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telex.topics.publisher import Publisher

if TYPE_CHECKING:
    from telex.handlers.middleware import Middleware
    from telex.handlers.spec import HandlerSpec
    from telex.triggers.records import TriggerRecord
    from telex.triggers.timers import Timers


class ScheduledTrigger:
    """A trigger of one hub, of which `TimeTrigger` and `WhenTrigger` say when it fires.

    Times are in seconds since 1970. Those that `telex.Trigger` shows too are documented there. There may be a hundred
    thousand triggers, so each is as small as it can be: slots, and no list for its functions.
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
        """The middleware of its router, around its functions."""
        self.publisher: Publisher | None = None
        """The publisher by which it has published, in memory."""
        self.waiting: int = 0
        """The number of firings that wait for a subscriber that has no room."""
        self.queue_entry: int = 0
        self.timers: Timers = timers

    def describe(self) -> str:
        """Say when it fires, for people."""
        raise NotImplementedError

    def begin(self) -> None:
        """Begin: the hub is open."""
        raise NotImplementedError

    def due(self, now: float) -> None:
        """Handle that its time has come."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on after a pause in this process."""
        raise NotImplementedError

    def end(self) -> None:
        """Fire no more."""
        self.ended, self.next = True, None
        if self.queue_entry:
            self.timers.disarm(self)

    def missed(self) -> tuple[int, int]:
        """Return the number of messages that were lost, and of keys that were forgotten."""
        return 0, 0

    def take(self, record: TriggerRecord) -> None:
        """Take over the engine's record, which counts for all processes."""
        self.start, self.last, self.fired, self.late = record.start, record.last, record.fired, record.late
        self.paused_elsewhere = record.paused


class TopicUse:
    """The number of triggers that publish to each topic and have not ended."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, topic: str) -> None:
        """Count one more trigger."""
        self._counts[topic] = self._counts.get(topic, 0) + 1

    def remove(self, topic: str) -> None:
        """Count one trigger less."""
        left = self._counts.pop(topic, 0) - 1
        if left > 0:
            self._counts[topic] = left

    def is_free_of_others(self, trigger: ScheduledTrigger) -> bool:
        """Return true when no other trigger publishes to the topic of this one."""
        return self._counts.get(trigger.topic, 0) <= (0 if trigger.ended else 1)
