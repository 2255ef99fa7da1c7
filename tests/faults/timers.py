"""Kill programs that share triggers, and see that each instant was fired once, and none was left out.

python -m tests.faults.timers --seconds 60
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

import telex
from telex.engines.sqlite.upkeep import check
from telex.triggers.claims import BUCKET, Kept
from telex.triggers.firing import moment
from telex.triggers.schedule import GRACE
from tests.faults.timers_worker import Spec, specs

WORKERS = 4
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
    firings: int = 0
    handled: int = 0
    handled_again: int = 0
    passed_over: int = 0  # instants for which nothing was fired, and nothing was to be
    excused: int = 0  # those of them that passed while the machine was busy
    problems: list[str] = []


class Fired(msgspec.Struct):
    """A firing, as its topic has it."""

    id: str
    number: int
    instant: float
    published: float


class Life(msgspec.Struct):
    """A process, from when its triggers had begun; and when it was not itself."""

    ready: float = float("inf")
    died: float = float("inf")
    hurt: list[tuple[float, float]] = []

    def lived(self, start: float, end: float) -> bool:
        return self.ready <= start and self.died >= end

    def well(self, start: float, end: float) -> bool:
        return all(began >= end or ended <= start for began, ended in self.hurt)


class Crowd:
    """The processes, and when they lived."""

    def __init__(self, command: list[str], notes: Path, chance: random.Random) -> None:
        self.lives: dict[int, Life] = defaultdict(Life)
        self.stops: list[tuple[float, float]] = []  # when no process was there
        self.kills = 0
        self._command, self._notes, self._chance = command, notes, chance
        self._running: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        try:
            self._start_all()
            yield
        finally:
            for number in range(len(self._running)):
                self._kill(number)

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command)

    def _start_all(self) -> None:
        self._running = [self._start() for _ in range(WORKERS)]

    def _kill(self, number: int) -> None:
        process = self._running[number]
        assert process.poll() is None, "a process has ended by itself"
        self.lives[process.pid].died = time.time()
        process.kill()
        process.wait()

    async def hurt_them(self, seconds: float) -> None:
        """Kill one, or all for a while, again and again."""
        end = time.time() + seconds
        stop = self._next_stop()
        while time.time() < end:
            await asyncio.sleep(0.05 + self._chance.random() * 0.6)
            if time.time() < stop:
                number = self._chance.randrange(WORKERS)
                self._kill(number)
                self._running[number] = self._start()
                self.kills += 1
                continue
            for number in range(WORKERS):
                self._kill(number)
            began = time.time()
            await asyncio.sleep(0.5 + self._chance.random() * 3)
            self.stops.append((began, time.time()))
            self._start_all()
            self.kills += WORKERS
            stop = self._next_stop()

    def _next_stop(self) -> float:
        return time.time() + 2.5 + self._chance.random() * 8

    def handled(self) -> dict[tuple[str, int], int]:
        """How often each firing was handled."""
        found: dict[tuple[str, int], int] = defaultdict(int)
        for line in self._notes.read_text().splitlines():
            what, trigger, number, *_ = line.split(" ")
            if what == "handled":
                found[trigger, int(number)] += 1
        return found

    def look(self) -> None:
        """What the processes have told of themselves."""
        for line in self._notes.read_text().splitlines():
            what, pid, at, *rest = line.split(" ")
            if what == "ready":
                self.lives[int(pid)].ready = float(at)
            elif what != "handled":
                self.lives[int(pid)].hurt.append((float(at), float(rest[0])))


async def play(folder: Path, seconds: float, seed: int) -> Count:
    url, notes, base = f"sqlite:///{folder}/timers.db", folder / "notes", time.time()
    command = [sys.executable, "-m", "tests.faults.timers_worker", url, str(notes), str(base), str(seconds)]
    crowd, triggers = Crowd(command, notes, random.Random(seed)), specs(seconds)
    with crowd.open():
        await crowd.hurt_them(seconds)
        async with telex.Hub(url) as hub:
            await settled(hub, triggers, crowd, time.time())
    count = Count(kills=crowd.kills, stops=len(crowd.stops), problems=[])
    crowd.look()
    handled = crowd.handled()
    count.handled, count.handled_again = len(handled), sum(times - 1 for times in handled.values())
    async with telex.Hub(url) as hub:
        for spec in triggers:
            found = await look_at(hub, spec, crowd, handled, base, count)
            count.problems += [f"{spec.name}: {problem}" for problem in found]
    return count


async def look_at(
    hub: telex.Hub, spec: Spec, crowd: Crowd, handled: dict[tuple[str, int], int], base: float, count: Count
) -> list[str]:
    """What is wrong with a trigger."""
    # What was due last may be under way when all are killed.
    end = max(life.died for life in crowd.lives.values()) - SLACK - 1
    fired, kept = await fired_of(hub, spec), await kept_of(hub, spec)
    count.firings += len(fired)
    if kept is None:
        return ["nothing is kept of it"]
    found = [*ordered(fired, kept), *timely(spec, fired, crowd)]
    found += grid(spec, fired, crowd, scheduled(spec, kept, base, end), end, count)
    if spec.kind == "every" and spec.misfire == "once":
        found += made_up(fired, crowd)
    if spec.handled:
        missed = [it.number for it in fired if (spec.name, it.number) not in handled and it.published < end]
        found += [f"firing {number} was not handled" for number in missed]
    return found


async def settled(hub: telex.Hub, triggers: list[Spec], crowd: Crowd, now: float) -> None:
    """Until all that was due by ``now`` has been fired, and handled; at most `SETTLED` seconds: what is missing then
    is told by those who look."""
    with_all = [spec for spec in triggers if spec.misfire == "all" and spec.kind == "every"]
    try:
        async with asyncio.timeout(SETTLED):
            for spec in with_all:
                while await last_of(hub, spec) + spec.length <= now:  # noqa: ASYNC110  # of another process
                    await asyncio.sleep(0.1)
            wanted = {(s.name, it.number) for s in triggers if s.handled for it in await fired_of(hub, s)}
            while wanted - set(crowd.handled()):  # noqa: ASYNC110  # notes are read again
                await asyncio.sleep(0.1)
            # Who looks at the end has to have seen that somebody lived longer than what he looks for took.
            await asyncio.sleep(2 * SLACK + 1)
    except TimeoutError:
        return


async def kept_of(hub: telex.Hub, spec: Spec) -> Kept | None:
    assert hub._engine.records is not None
    record = await hub._engine.records.get(BUCKET, spec.name)
    return None if record is None else msgspec.json.decode(record.value, type=Kept)


async def last_of(hub: telex.Hub, spec: Spec) -> float:
    kept = await kept_of(hub, spec)
    return 0.0 if kept is None or kept.last is None else kept.last


async def fired_of(hub: telex.Hub, spec: Spec) -> list[Fired]:
    found = []
    async for message in hub.topic(spec.topic).history():
        firing = msgspec.convert(message.content, telex.Firing)
        instant = firing.scheduled.timestamp()
        found.append(Fired(message.id, firing.number, instant, message.timestamp.timestamp()))
    return found


def ordered(fired: list[Fired], kept: Kept) -> Iterator[str]:
    """Numbers without holes, instants that rise, ids that are each one's; and a record that says the same."""
    if [it.number for it in fired] != list(range(1, len(fired) + 1)):
        yield f"the numbers are {[it.number for it in fired]}"
    if [it.instant for it in fired] != sorted({it.instant for it in fired}):
        yield "instants were fired twice, or not in their order"
    if len({it.id for it in fired}) != len(fired):
        yield "two firings have one id"
    if kept.fired != len(fired):
        yield f"{len(fired)} were fired, and {kept.fired} are recorded"


def timely(spec: Spec, fired: list[Fired], crowd: Crowd) -> Iterator[str]:
    """What ``misfire`` says of firings that come late."""
    for it in fired:
        late = it.published - it.instant
        if late < -0.001:
            yield f"firing {it.number} came {-late} s too early"
        if spec.misfire == "skip" and late > GRACE + spec.jitter + SLACK and not busy(crowd, it.published):
            yield f"firing {it.number} was fired {late} s late"
        latest = spec.misfire == "once" and spec.kind == "every"
        if latest and late > spec.length + SLACK and not busy(crowd, it.published):
            yield f"firing {it.number} is not of the latest instant, but {late} s late"


def made_up(fired: list[Fired], crowd: Crowd) -> Iterator[str]:
    """With ``misfire="once"`` there is one firing, as soon as somebody lives, for all that were missed in a stop."""
    for began, ended in crowd.stops:
        missed = [it.number for it in fired if began < it.instant < ended]
        if len(missed) > 1:
            yield f"firings {missed} were all missed in one stop"
        ready = min(life.ready for life in crowd.lives.values() if life.ready > ended and life.died > life.ready + 1)
        soon = any(began < it.published < ready + SLACK for it in fired)
        if ended - began > LONGEST and not soon and not busy(crowd, ready):
            yield f"nothing was fired after the stop of {clock_time(began)}"


def busy(crowd: Crowd, at: float) -> bool:
    """Whether some process was not itself, or waited for the disk."""
    return any(not life.well(at - SLACK, at + SLACK) for life in crowd.lives.values())


def grid(spec: Spec, fired: list[Fired], crowd: Crowd, due: list[float], end: float, count: Count) -> Iterator[str]:
    """Every firing is of an instant of the schedule, and no instant is missing but those that were to be left out."""
    missing = list(due)
    for it in fired:
        if it.instant > end:
            continue
        match = next((instant for instant in missing if abs(instant - it.instant) <= ROUNDING), None)
        if match is None:
            yield f"firing {it.number} is of {it.id}, when nothing was due"
        else:
            missing.remove(match)
    count.passed_over += len(missing)
    for instant in missing:
        if spec.misfire == "all" or (spec.misfire == "once" and spec.kind != "every"):
            yield f"nothing was fired for {clock_time(instant)}"
            continue
        last = instant + (spec.length if spec.kind == "every" else GRACE)
        alive = [life for life in crowd.lives.values() if life.lived(instant - SLACK, last + SLACK)]
        if any(life.well(instant, last) for life in alive):
            yield f"nothing was fired for {clock_time(instant)}, when processes lived"
        count.excused += bool(alive)


def clock_time(instant: float) -> str:
    return f"{moment(instant):%H:%M:%S.%f}"


def scheduled(spec: Spec, kept: Kept, base: float, end: float) -> list[float]:
    """The instants until ``end``."""
    if spec.kind == "every":
        return [kept.start + n * spec.length for n in range(1, int((end - kept.start) / spec.length) + 1)]
    return [(kept.start if spec.kind == "after" else base) + spec.length]


def run(folder: Path, seconds: float, seed: int) -> Count:
    count = asyncio.run(play(folder, seconds, seed))
    count.problems += check(folder / "timers.db")
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print("seed", given.seed)
    with tempfile.TemporaryDirectory() as folder:
        count = run(Path(folder), given.seconds, given.seed)
    problems, count.problems = count.problems, []
    print(msgspec.json.encode(count).decode())
    print(*problems[:20], f"{len(problems)} problems", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
