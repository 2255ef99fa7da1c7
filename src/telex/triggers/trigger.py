"""`Trigger`: one that was declared. What it publishes is a `Firing`."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from telex.errors import BadHandler, BadOption
from telex.handlers.middleware import Middleware
from telex.handlers.signature import name_of
from telex.names import check_topic
from telex.topics.publisher import FAIR
from telex.triggers.conditions.firing import Firing, check_name, moment
from telex.triggers.conditions.schedule import GRACE, MOST, Misfire, Schedule, due, spread
from telex.triggers.firings import FiringClaim, TriggerRecord

if TYPE_CHECKING:
    from telex.handlers.spec import HandlerSpec
    from telex.topics.topic import Topic
    from telex.triggers.scheduler import Scheduler

F = TypeVar("F", bound=Callable[..., object])
logger: logging.Logger = logging.getLogger("telex.triggers")
SOON = 0.001
"""Seconds until one that has missed many fires the next of them, in memory."""
LOOK = 1.0
"""Seconds after which a trigger that is paused for all processes sees, at the latest, that it goes on."""


class TriggerStatistics(msgspec.Struct, frozen=True):
    """A trigger at one moment; ``next`` and ``last`` are the instants for which firings are meant, ``late`` by how many
    seconds the last one came later. ``failed`` counts looks at it that raised, ``lost`` messages
    that came too quickly to be looked at, and ``forgotten`` keys that had to make room for others."""

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


class Trigger:
    """Made by ``hub.every``, ``hub.cron``, ``hub.at``, ``hub.after`` and ``hub.when``. It publishes a `Firing` to its
    topic each time that it is due; as a decorator it has a function called with that, a handler of the topic like any
    other.
    """

    _idle: bool = False  # it has no name yet, and does nothing

    def __init__(self, scheduler: Scheduler, name: str | None, topic: str | None) -> None:
        self.name: str = ""
        """The name, which is one and the same in all processes."""
        self.topic: str = "" if topic is None else check_topic(topic)
        """The topic that the firings are published to."""
        self.start: float = 0.0
        """The instant at which its schedule began, in seconds since 1970."""
        self.last: float | None = None
        """The instant for which it fired last, in seconds since 1970; None before the first firing."""
        self.next: float | None = None
        """The instant for which it fires next, in seconds since 1970; None when that is not known, or never."""
        self.fired: int = 0
        """The number of its firings, on a file of all processes."""
        self.failed: int = 0
        """The number of looks at it that raised, in this process."""
        self.late: float = 0.0
        """The seconds by which the last firing came later than its instant."""
        self.paused: bool = False
        """Whether `pause` was called, and `resume` was not, in this process."""
        self.held: bool = False
        """Whether it is paused for all processes of a file, as far as this process knows."""
        self.ended: bool = False
        """Whether it fires no more."""
        self.handlers: list[HandlerSpec] = []  # its functions
        self.prefix: str = ""  # and what stands around that, of the router that it comes from
        self.middleware: tuple[Middleware, ...] = ()
        self.outlet: Topic[Firing] | None = None  # where it has published
        self.unheard: int = 0  # firings that wait for a subscriber
        self.entry: int = 0  # of the agenda: what was put there before is passed over
        self._scheduler = scheduler
        if name is not None or topic is not None:
            self._named(check_topic(name if name is not None else self.topic))
        else:
            self._idle = True

    def __del__(self) -> None:
        if self._idle:
            mend = "decorate a function with it, or give it a topic or a name"
            warnings.warn(f"a trigger, {self.describe()}, does nothing: {mend}", RuntimeWarning, stacklevel=2)

    def _named(self, name: str) -> None:
        self.name = check_name(name)
        self.topic = self.topic or check_topic(f"$trigger:{name}")
        self._scheduler.add(self)

    def __call__(self, function: F) -> F:
        """Have ``function`` called at each firing. Raises `BadHandler`, `BadName`, `BadOption`."""
        self._idle = False  # or what is wrong with it is told now
        if not callable(function):
            raise BadHandler(repr(function), "decorate a function with the trigger")
        unnamed, topic = not self.name, self.topic
        if unnamed:
            called = name_of(function).rpartition(".")[2]
            if not called.isidentifier():
                raise BadOption("name", called, "give the trigger one, name='...'")
            self._named(f"{self.prefix}:{called}" if self.prefix else called)
        try:
            self._scheduler.handle(self, function)
        except BaseException:
            if unnamed:  # as it was before
                self._scheduler.remove(self)
                self.name, self.topic, self.ended = "", topic, False
            raise
        return function

    def describe(self) -> str:
        """When it fires, for people."""
        raise NotImplementedError

    # -- what the scheduler does

    def begin(self) -> None:
        """The hub is open, and it may fire."""
        raise NotImplementedError

    def ring(self, now: float) -> None:
        """Its time has come."""
        raise NotImplementedError

    def look(self) -> None:
        """What is kept of it was changed."""
        raise NotImplementedError

    def end(self) -> None:
        """It fires no more."""
        if not self.ended:
            self._scheduler.leave_topic(self)
        self.ended, self.next = True, None
        self._scheduler.disarm(self)

    def warn_ended(self, kept: TriggerRecord) -> None:
        """Log that it never fires, where it was declared anew in the hope that it does."""
        if kept.schedule != self.describe():
            logger.warning(
                "trigger %s fires no more: it has fired for the last time (%s), and a name fires once; now it is "
                "declared %s: give it another name",
                *(self.name, kept.schedule, self.describe()),
            )

    def _take(self, kept: TriggerRecord) -> None:
        """What all processes know of it, this one knows."""
        self.start, self.last, self.fired, self.late = kept.start, kept.last, kept.fired, kept.late
        self.held = kept.paused

    # -- by hand

    def pause(self) -> None:
        """Fire no more, until `resume`. What is missed meanwhile is as ``misfire`` says. In this process alone: on a
        file others fire it still, and `telex.triggers.admin.pause_trigger` pauses it in all."""
        self.paused = True

    def resume(self) -> None:
        """Go on, in this process."""
        self.paused = False
        self._scheduler.arm(self, self.next)

    async def fire(self) -> None:
        """Fire now, by hand, beside its schedule."""
        await self._scheduler.fire_by_hand(self)

    def cancel(self) -> None:
        """End it in this process: its functions are called no more, apart from a call that runs. In memory its topic
        is closed, as after a last firing; on a file others may publish there, and what is being claimed may still be
        fired."""
        self._scheduler.remove(self)

    def statistics(self) -> TriggerStatistics:
        """The trigger at this moment."""
        return TriggerStatistics(
            self.name,
            self.describe(),
            self.topic,
            None if self.next is None else moment(self.next),
            None if self.last is None else moment(self.last),
            self.fired,
            self.late,
            self.paused or self.held,
            self.ended,
            self.failed,
            *self.missed(),
        )

    def missed(self) -> tuple[int, int]:
        """Messages that were lost, and keys that were forgotten."""
        return 0, 0

    def __repr__(self) -> str:
        return f"<Trigger {self.name!r}, {self.describe()}>"

    def _count_failure(self) -> None:
        self.failed += 1


class TimeTrigger(Trigger):
    """One that fires at the instants of a schedule."""

    def __init__(
        self,
        scheduler: Scheduler,
        schedule: Schedule,
        name: str | None,
        topic: str | None,
        misfire: Misfire,
        jitter: float,
    ) -> None:
        check_misfire(misfire)
        self.schedule = schedule
        self.misfire: Misfire = misfire
        self.jitter = jitter
        self.rang: float = 0.0  # when it was rung last
        self._declared: float = 0.0  # when its hub was opened with it
        self._joined = False  # what is kept of it knows of its schedule
        super().__init__(scheduler, name, topic)

    def describe(self) -> str:
        """When it fires, for people."""
        return self.schedule.describe()

    def due(self, last: float | None, now: float, most: int = MOST) -> tuple[list[float], float | None]:
        """Which instants are to be fired now, at most so many, and when the next one is."""
        return due(self.schedule, last, self.start, now, self.misfire, GRACE + self.jitter, most)

    def begin(self) -> None:
        """The hub is open, and it may fire."""
        scheduler = self._scheduler
        self.start: float = scheduler.clock()
        self.rang = self._declared = self.start
        if scheduler.claims is not None:
            scheduler.claims.now(self)
        else:
            self.next = self.schedule.after(self.start, self.start)
            if self.next is None:  # soon: who subscribes may be said by the next line of the program
                asyncio.get_running_loop().call_soon(scheduler.finish, self)
            else:
                self._arm()

    def _arm(self) -> None:
        at = self.next
        if at is not None and self.jitter:
            at = spread(self.schedule, at, self.start, self.jitter, self._scheduler.chance())
        self._scheduler.arm(self, at)

    def resume(self) -> None:
        """Go on, in this process."""
        self.paused = False
        if self.next is None and not self.ended:
            self._scheduler.arm(self, self._scheduler.clock())  # it was paused before it knew when it is due
        else:
            self._arm()

    def ring(self, now: float) -> None:
        """Its time has come."""
        scheduler = self._scheduler
        if scheduler.claims is not None:
            if scheduler.claims.now(self):
                self.rang = now
            return
        meant = self.next
        following = None if meant is None else self.schedule.after(meant, self.start)
        if (
            meant is not None
            and meant <= now
            and (following is None or following > now)
            and (now <= meant + GRACE or self.misfire != "skip")
        ):
            self.next = following  # what `due` says, too, when it is one instant and this is fired
            scheduler.fire(self, meant, now, last=following is None)
        else:
            instants, self.next = self.due(self.last, now, FAIR)
            for instant in instants:
                scheduler.fire(self, instant, now)
        if self.next is None:
            scheduler.finish(self)
        elif self.next <= now:
            scheduler.arm(self, now + SOON)  # others that are due have their turn, and so has who handles these
        elif self.jitter:
            self._arm()
        else:
            scheduler.arm(self, self.next)

    def look(self) -> None:
        """See `Trigger`."""
        if not self.ended:
            self.ring(self._scheduler.clock())

    def decide(self, kept: TriggerRecord) -> FiringClaim | None:
        """See `telex.triggers.firings.Timed`."""
        if self.paused or self.ended:
            return None
        now = self.rang  # however long others were claimed before it: it was not missed for that
        known = self._joined_to(kept)
        self._take(known)
        if self.held:
            self._look_again(now)
            return None
        if self.schedule.is_single and known.ended and known.last is not None:
            self.warn_ended(kept)
            self.next = None
            return FiringClaim(kept, [])
        instants, self.next = self.due(kept.last, now)
        told = known if known.plan == repr(self.schedule) else kept
        told = replace(told, schedule=self.describe(), topic=self.topic, next=self.next, ended=self.next is None)
        if instants:
            told = replace(told, last=instants[-1], fired=kept.fired + len(instants), late=now - instants[-1])
        return FiringClaim(told, [(instant, number) for number, instant in enumerate(instants, kept.fired + 1)])

    def _joined_to(self, kept: TriggerRecord) -> TriggerRecord:
        """What is kept of it, where that is of its schedule. A schedule that is new under its name counts from when it
        was declared first: until then the other one was in force.
        """
        plan = repr(self.schedule)
        if kept.plan == plan or (not kept.plan and kept.schedule in ("", self.describe())):
            return replace(kept, plan=plan)
        if self._joined:  # another process has declared another one since
            return replace(kept, start=self.start)
        return replace(kept, plan=plan, start=self._declared)

    def settle(self, kept: TriggerRecord) -> None:
        """See `telex.triggers.firings.Timed`."""
        self._joined = True
        self._take(self._joined_to(kept))
        if self.ended:
            return  # it was cancelled meanwhile
        if self.next is None:
            self._scheduler.finish(self)
        else:
            self._arm()

    def pass_over(self) -> None:
        """See `telex.triggers.firings.Timed`."""
        self._count_failure()
        if self.ended:
            return
        if self.next is None:
            self._scheduler.finish(self)
        else:
            self._arm()

    def _look_again(self, now: float) -> None:
        """It is paused for all processes, and nobody tells when it goes on."""
        self.next = self.schedule.after(now, self.start)
        again = now + LOOK
        self._scheduler.arm(self, again if self.next is None else min(again, self.next))


def check_misfire(misfire: object) -> None:
    """Raises `BadOption` for what is no `Misfire`."""
    if misfire not in ("skip", "once", "all"):
        raise BadOption("misfire", misfire, "it is 'skip', 'once' or 'all'")
