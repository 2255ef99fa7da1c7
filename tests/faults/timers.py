"""Kill programs that share triggers, and see that each instant was fired once, and none was left out.

python -m tests.faults.timers --seconds 60
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

import telex
from telex.engines.sqlite.upkeep import check
from telex.triggers.conditions.firing import moment
from telex.triggers.conditions.schedule import GRACE
from telex.triggers.records import BUCKET, TriggerRecord
from tests.faults import command
from tests.faults.timers_crowd import Crowd, Hands
from tests.faults.timers_worker import Spec, specs
from tests.support.internals import records_of

SETTLED = 60.0
"""Seconds, at most, until what was due has been fired and handled when nobody is killed any more."""
SLACK = 0.5
"""Seconds that a claim may take on a busy machine."""
LONGEST = 1.0
"""Seconds of the longest period."""
ROUNDING = 5e-6
"""Seconds by which an instant that was written and read may differ."""


class Count(msgspec.Struct):
    """What a run has shown."""

    kills: int = 0
    stops: int = 0  # of all processes at once
    pauses: int = 0
    firings: int = 0
    by_hand: int = 0
    handled: int = 0
    handled_again: int = 0
    needed: int = 0  # instants that had to be fired, since there were processes, or since all are
    passed_over: int = 0  # instants for which nothing was fired, and nothing was to be
    excused: int = 0  # those of them that passed while the machine was busy
    problems: list[str] = []


class Fired(msgspec.Struct):
    """A firing, as its topic has it."""

    id: str
    number: int
    instant: float
    published: float

    @property
    def late(self) -> float:
        return self.published - self.instant


async def play(folder: Path, seconds: float, seed: int) -> Count:
    url, notes, base = f"sqlite:///{folder}/timers.db", folder / "notes", time.time()
    command = [sys.executable, "-m", "tests.faults.timers_worker", url, str(notes), str(base), str(seconds)]
    crowd, hands, triggers = Crowd(command, notes, random.Random(seed)), Hands(random.Random(seed)), specs(seconds)
    with crowd.open():
        await asyncio.gather(crowd.hurt_them(seconds), hands.meddle(url, [spec.name for spec in triggers], seconds))
        async with telex.Hub(url) as hub:
            await settled(hub, triggers, crowd, time.time())
    crowd.look()
    handled = crowd.handled()
    count = Count(kills=crowd.kills, stops=len(crowd.stops), handled=len(handled), problems=[])
    count.pauses = sum(map(len, hands.pauses.values()))
    count.handled_again = sum(times - 1 for times in handled.values())
    async with telex.Hub(url) as hub:
        for spec in triggers:
            fired, kept = await fired_of(hub, spec), await kept_of(hub, spec)
            assert kept is not None, "nothing is kept of it"
            look = Look(spec, kept, fired, crowd, hands, count)
            problems = [*look.ordered(), *look.timely(), *look.grid(base), *look.made_up(), *look.handled(handled)]
            count.problems += [f"{spec.name}: {problem}" for problem in problems]
    return count


async def settled(hub: telex.Hub, triggers: list[Spec], crowd: Crowd, now: float) -> None:
    """Until all that was due by ``now`` has been fired, and handled; at most `SETTLED` seconds: what is missing then
    is told by those who look."""
    with_all = [spec for spec in triggers if spec.misfire == "all" and spec.kind == "every"]
    try:
        async with asyncio.timeout(SETTLED):
            for spec in with_all:
                while await last_of(hub, spec) + spec.length <= now:  # noqa: ASYNC110  # of another process
                    await asyncio.sleep(0.1)
            for spec in triggers:
                while spec.kind != "every" and await is_overdue(hub, spec, now):  # noqa: ASYNC110  # of another process
                    await asyncio.sleep(0.1)
            wanted = {(s.name, it.number) for s in triggers if s.handled for it in await fired_of(hub, s)}
            while wanted - set(crowd.handled()):  # noqa: ASYNC110  # notes are read again
                await asyncio.sleep(0.1)
            # Who looks at the end has to have seen that somebody lived longer than what he looks for took.
            await asyncio.sleep(2 * SLACK + 1)
    except TimeoutError:
        return


async def kept_of(hub: telex.Hub, spec: Spec) -> TriggerRecord | None:
    record = await records_of(hub).get(BUCKET, spec.name)
    return None if record is None else msgspec.json.decode(record.value, type=TriggerRecord)


async def last_of(hub: telex.Hub, spec: Spec) -> float:
    kept = await kept_of(hub, spec)
    return 0.0 if kept is None or kept.last is None else kept.last


async def is_overdue(hub: telex.Hub, spec: Spec, now: float) -> bool:
    kept = await kept_of(hub, spec)
    return kept is None or (kept.next is not None and kept.next <= now)


async def fired_of(hub: telex.Hub, spec: Spec) -> list[Fired]:
    found = []
    async for message in hub.topic(spec.topic).history():
        firing = msgspec.convert(message.content, telex.Firing)
        instant = firing.scheduled.timestamp()
        found.append(Fired(message.id, firing.number, instant, message.timestamp.timestamp()))
    return found


def clock_time(instant: float) -> str:
    return f"{moment(instant):%H:%M:%S.%f}"


class Look:
    """A trigger after a run: each method gives what is wrong."""

    def __init__(
        self, spec: Spec, kept: TriggerRecord, fired: list[Fired], crowd: Crowd, hands: Hands, count: Count
    ) -> None:
        self.spec, self.kept, self.every = spec, kept, fired
        self.fired = [it for it in fired if "#" not in it.id]  # by the schedule
        self.crowd, self.hands, self.count = crowd, hands, count
        # What was due last may be under way when all are killed.
        self.end = max(life.died for life in crowd.lives.values()) - SLACK - 1

    def ordered(self) -> Iterator[str]:
        """Numbers without holes, instants that rise, ids that are each one's; and a record that says the same."""
        self.count.firings += len(self.fired)
        self.count.by_hand += len(self.every) - len(self.fired)
        for before, after in pairwise([0, *[it.number for it in self.every]]):
            if after != before + 1:
                yield f"firing {after} follows {before}"
        if [it.instant for it in self.fired] != sorted({it.instant for it in self.fired}):
            yield "instants were fired twice, or not in their order"
        if len({it.id for it in self.every}) != len(self.every):
            yield "two firings have one id"
        if self.kept.fired != len(self.every):
            yield f"{len(self.every)} were fired, and {self.kept.fired} are recorded"
        by_hand, there = self.hands.fired[self.spec.name], len(self.every) - len(self.fired)
        if by_hand != there:
            yield f"{by_hand} were fired by hand, and {there} of them are there"

    def timely(self) -> Iterator[str]:
        """What ``misfire`` says of firings that come late; and none came in a pause."""
        spec = self.spec
        latest = spec.misfire == "once" and spec.kind == "every"
        for it in self.fired:
            if it.late < -0.001:
                yield f"firing {it.number} came {-it.late} s too early"
            if any(began < it.published < ended for began, ended in self.hands.pauses[spec.name]):
                yield f"firing {it.number} was published while it was paused"
            if self.crowd.busy(it.published - SLACK, it.published + SLACK):
                continue
            if spec.misfire == "skip" and it.late > GRACE + spec.jitter + SLACK:
                yield f"firing {it.number} was fired {it.late} s late"
            if latest and it.late > spec.length + SLACK:
                yield f"firing {it.number} is not of the latest instant, but {it.late} s late"

    def made_up(self) -> Iterator[str]:
        """With ``misfire="once"`` there is one firing, as soon as somebody lives, for all that were missed in a stop,
        and with ``"all"`` one for each.
        """
        if self.spec.kind != "every" or self.spec.misfire == "skip":
            return
        lives = self.crowd.lives.values()
        for began, ended in self.crowd.stops:
            missed = [it.number for it in self.fired if began < it.instant < ended]
            if len(missed) > 1 and self.spec.misfire == "once":
                yield f"firings {missed} were all missed in one stop"
            ready = min(life.ready for life in lives if life.ready > ended and life.died > life.ready + 1)
            if self.crowd.busy(ended, ready + SLACK) or self.hands.paused(self.spec.name, began, ready + SLACK):
                continue
            soon = any(began < it.published < ready + SLACK for it in self.fired)
            if ended - began > LONGEST and not soon:
                yield f"nothing was fired after the stop of {clock_time(began)}"

    def grid(self, base: float) -> Iterator[str]:
        """Every firing is of an instant of the schedule, and none is missing but those that were to be left out."""
        spec, due = self.spec, self._due(base)
        missing = set(due)
        for it in self.fired:
            match = next((instant for instant in due if abs(instant - it.instant) <= ROUNDING), None)
            missing.discard(match or 0.0)
            if match is None and it.instant <= self.end:
                yield f"firing {it.number} is {it.id}, when nothing was due"
        for instant in due:
            missed, needed, excused = instant in missing, self._needed(instant), False
            if needed and not (spec.misfire == "all" or (spec.misfire == "once" and spec.kind != "every")):
                excused = not self._watched(instant)
            self.count.needed += needed and not excused
            self.count.passed_over += missed
            self.count.excused += missed and excused
            if missed and needed and not excused:
                yield f"nothing was fired for {clock_time(instant)}"

    def _due(self, base: float) -> list[float]:
        spec, start = self.spec, self.kept.start
        if spec.kind == "every":
            return [start + n * spec.length for n in range(1, int((self.end - start) / spec.length) + 1)]
        instant = (start if spec.kind == "after" else base) + spec.length
        # One that was past when the first process had started never fires; one that is due after the run has not yet.
        return [instant] if start < instant <= self.end else []

    def _window(self, instant: float) -> tuple[float, float]:
        """While it is to be fired, unless all are."""
        return instant, instant + (self.spec.length if self.spec.kind == "every" else GRACE)

    def _needed(self, instant: float) -> bool:
        """Whether it had to be fired, were the machine never busy."""
        if self.spec.misfire == "all" or (self.spec.misfire == "once" and self.spec.kind != "every"):
            return True
        start, end = self._window(instant)
        lived = any(life.lived(start - SLACK, end + 2 * SLACK) for life in self.crowd.lives.values())
        return lived and not self.hands.paused(self.spec.name, start - SLACK, end)

    def _watched(self, instant: float) -> bool:
        """Whether a process lived then, and was well."""
        start, end = self._window(instant)
        lives = self.crowd.lives.values()
        return any(life.lived(start - SLACK, end + 2 * SLACK) and life.well(start, end) for life in lives)

    def handled(self, handled: dict[tuple[str, int], int]) -> Iterator[str]:
        """Functions were called for every firing."""
        if self.spec.handled:
            for it in self.every:
                if (self.spec.name, it.number) not in handled and it.published < self.end:
                    yield f"firing {it.number} was not handled"


def run(folder: Path, seconds: float, seed: int) -> Count:
    count = asyncio.run(play(folder, seconds, seed))
    count.problems += check(folder / "timers.db")
    return count


if __name__ == "__main__":
    sys.exit(command.play(__doc__, run))
