"""`Trigger`: the handle of a trigger for programs. It publishes a `Firing` each time that it fires."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from telex.errors import BadHandler, BadOption
from telex.handlers.middleware import Middleware
from telex.handlers.signature import name_of
from telex.names import check_topic
from telex.triggers.conditions.firing import check_name, moment

if TYPE_CHECKING:
    from telex.triggers.scheduled import ScheduledTrigger

F = TypeVar("F", bound=Callable[..., object])


class TriggerStatistics(msgspec.Struct, frozen=True):
    """The state of a trigger at one moment. ``next`` and ``last`` are the instants of its firings; the last firing was
    published ``late`` seconds after its instant. ``failed`` counts evaluations of a polled function or condition that
    raised, ``lost`` messages that came faster than the condition could read them, and ``forgotten`` keys that were
    forgotten to make room.
    """

    trigger: str
    schedule: str
    topic: str
    next: datetime | None
    last: datetime | None
    fired: int
    late: float
    paused: bool
    ended: bool
    failed: int = 0
    lost: int = 0
    forgotten: int = 0


class TriggerOwner(Protocol):
    """The scheduler, as a `Trigger` uses it."""

    def add(self, trigger: Trigger) -> None:
        """Add a trigger that has a name. Raises `BadOption` when another trigger has the name."""

    def remove(self, trigger: Trigger) -> None:
        """End a trigger in this process."""

    def handle(self, trigger: ScheduledTrigger, function: Callable[..., object]) -> None:
        """Register a function that is called at each firing."""

    async def fire(self, trigger: ScheduledTrigger) -> None:
        """Publish a firing by hand."""


class Trigger:
    """A trigger of a hub, made by ``hub.every``, ``hub.cron``, ``hub.at``, ``hub.after`` and ``hub.when``. It publishes
    a `Firing` to its topic each time that it fires. As a decorator it registers a function, which is a handler of that
    topic.
    """

    __slots__ = ("_idle", "_owner", "_prefix", "_state")

    def __init__(
        self,
        state: ScheduledTrigger,
        owner: TriggerOwner,
        name: str | None,
        topic: str | None,
        prefix: str = "",
        middleware: tuple[Middleware, ...] = (),
    ) -> None:
        self._idle = False  # True while it has no name and does nothing
        self._state = state
        self._owner = owner
        self._prefix = prefix  # of the router, for the name of its function
        state.middleware = middleware
        state.topic = "" if topic is None else check_topic(topic, "topic")
        if name is not None or topic is not None:
            self._declare(check_topic(name) if name is not None else state.topic)
        else:
            self._idle = True

    def __del__(self) -> None:
        if self._idle:
            fix = "decorate a function with the trigger, or give it a topic or a name"
            warnings.warn(f"a trigger, {self.describe()}, does nothing: {fix}", RuntimeWarning, stacklevel=2)

    def _declare(self, name: str) -> None:
        state = self._state
        state.name = check_name(name)
        state.topic = state.topic or check_topic(f"$trigger:{name}")
        self._owner.add(self)

    def __call__(self, function: F) -> F:
        """Register a function that is called at each firing. Raises `BadHandler`, `BadName`, `BadOption`."""
        self._idle = False  # an error is raised instead of the warning
        if not callable(function):
            raise BadHandler(repr(function), "decorate a function with the trigger")
        unnamed, topic = not self.name, self.topic
        if unnamed:
            called = name_of(function).rpartition(".")[2]
            if not called.isidentifier():
                raise BadOption("name", called, "give the trigger one, name='...'")
            self._declare(f"{self._prefix}:{called}" if self._prefix else called)
        try:
            self._owner.handle(self._state, function)
        except BaseException:
            if unnamed:  # undo the call
                self._owner.remove(self)
                self._state.name, self._state.topic, self._state.ended = "", topic, False
            raise
        return function

    @property
    def name(self) -> str:
        """The name, which is the same in all processes."""
        return self._state.name

    @property
    def topic(self) -> str:
        """The topic that the firings are published to."""
        return self._state.topic

    @property
    def start(self) -> float:
        """The instant at which the schedule began, in seconds since 1970."""
        return self._state.start

    @property
    def last(self) -> float | None:
        """The instant of the last firing, in seconds since 1970; None before the first firing."""
        return self._state.last

    @property
    def next(self) -> float | None:
        """The instant of the next firing, in seconds since 1970; None when it is unknown, or the trigger never
        fires.
        """
        return self._state.next

    @property
    def fired(self) -> int:
        """The number of firings; on a file, those of all processes."""
        return self._state.fired

    @property
    def failed(self) -> int:
        """The number of evaluations of its function or condition that raised in this process."""
        return self._state.failed

    @property
    def late(self) -> float:
        """The seconds between the instant of the last firing and its publication."""
        return self._state.late

    @property
    def paused(self) -> bool:
        """True between `pause` and `resume`, in this process."""
        return self._state.paused

    @property
    def paused_elsewhere(self) -> bool:
        """True when it is paused in all processes of a file, as far as this process knows."""
        return self._state.paused_elsewhere

    @property
    def ended(self) -> bool:
        """True when it never fires again."""
        return self._state.ended

    def describe(self) -> str:
        """Return the times of its firings as text for people."""
        return self._state.describe()

    def pause(self) -> None:
        """Stop firing in this process, until `resume`. ``misfire`` decides about the instants of the pause. Other
        processes of a file continue to fire; `telex.triggers.admin.pause_trigger` pauses a trigger in all of them.
        """
        self._state.paused = True

    def resume(self) -> None:
        """Continue firing in this process."""
        self._state.resume()

    async def fire(self) -> None:
        """Fire now, by hand, in addition to the schedule."""
        await self._owner.fire(self._state)

    def cancel(self) -> None:
        """End the trigger in this process. Its functions are not called again; a running call is not cancelled. In
        memory its topic is closed, as after a last firing. On a file other processes may still publish to the topic,
        and a firing that is being claimed may still be published.
        """
        self._owner.remove(self)

    def statistics(self) -> TriggerStatistics:
        """Return the state of the trigger now."""
        state = self._state
        return TriggerStatistics(
            state.name,
            state.describe(),
            state.topic,
            None if state.next is None else moment(state.next),
            None if state.last is None else moment(state.last),
            state.fired,
            state.late,
            state.paused or state.paused_elsewhere,
            state.ended,
            state.failed,
            *state.missed(),
        )

    def __repr__(self) -> str:
        return f"<Trigger {self.name!r}, {self.describe()}>"


def state_of(trigger: Trigger) -> ScheduledTrigger:
    """Return the internal state of a trigger."""
    return trigger._state
