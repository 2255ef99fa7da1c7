"""Faults of programs that share triggers: kills, triggers fired by hand, and pauses."""

import asyncio
import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

import telex
from telex.hub import scheduler_of
from telex.triggers.admin import fire_trigger, pause_trigger, resume_trigger

WORKERS = 4


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
        longest = min(6.0, seconds / 3)
        stop = self._next_stop(longest)
        while time.time() < end:
            await asyncio.sleep(0.1 + self._chance.random() * 1.2)
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
            stop = self._next_stop(longest)

    def _next_stop(self, longest: float) -> float:
        return time.time() + 2.5 + self._chance.random() * longest

    def busy(self, start: float, end: float) -> bool:
        """Whether some process was not itself, or waited for the disk."""
        return any(not life.well(start, end) for life in self.lives.values())

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


class Hands:
    """Somebody who fires triggers by hand, and pauses them in the file for a while."""

    def __init__(self, chance: random.Random) -> None:
        self.fired: dict[str, int] = defaultdict(int)
        self.pauses: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._chance = chance

    async def meddle(self, url: str, names: list[str], seconds: float) -> None:
        end = time.time() + seconds
        async with telex.Hub(url) as hub:
            while time.time() < end:
                await asyncio.sleep(self._chance.random() * 0.4)
                name = self._chance.choice(names)
                if self._chance.random() < 0.6:
                    self.fired[name] += await fire_trigger(scheduler_of(hub), name) is not None
                elif await pause_trigger(scheduler_of(hub), name):
                    began = time.time()
                    await asyncio.sleep(0.3 + self._chance.random() * 1.2)
                    self.pauses[name].append((began, time.time()))
                    await resume_trigger(scheduler_of(hub), name)

    def paused(self, name: str, start: float, end: float) -> bool:
        """Whether it was, for some of that time."""
        return any(began < end and ended > start for began, ended in self.pauses[name])
