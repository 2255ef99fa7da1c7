"""Kill the processes that share a limit, and see that no more calls began and ran than it allows, and none was lost.

python -m tests.faults.limits --seconds 60 --seed 1 --engine postgresql
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from math import inf
from pathlib import Path

import msgspec

import telex
from tests.faults.limits_worker import BURST, CONCURRENCY, KEYS, LEASE, RATE
from tests.support.postgres import server, url_of

WORKERS = 3
SLACK = 1.0
"""Seconds that a busy machine may put between the token of a call and its first line."""
SETTLED = 90.0
"""Seconds, at most, until all is handled when nobody is killed any more."""


class Call(msgspec.Struct):
    """A call of a worker. It ended at the death of its worker, if it has not ended itself."""

    pid: int
    key: str
    number: int
    attempt: int
    began: float
    ended: float = 0.0


class Count(msgspec.Struct):
    """What a run has shown."""

    kills: int = 0
    calls: int = 0
    cut: int = 0  # calls that a kill has ended
    most_running: int = 0
    most_attempts: int = 0
    fullest: float = 0.0  # the largest share of what the rate allows in two seconds or more
    pause: float = 0.0  # the longest time without a call of a key while a worker was ready
    problems: list[str] = []


class Crowd:
    """The workers, and the times at which they were killed."""

    def __init__(self, url: str, notes: Path, chance: random.Random) -> None:
        self.killed: dict[int, float] = {}
        self._command = [sys.executable, "-m", "tests.faults.limits_worker", url, str(notes)]
        self._chance = chance
        self._workers = [subprocess.Popen(self._command) for _ in range(WORKERS)]

    async def kill_them(self, seconds: float) -> None:
        """Kill one after the other for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(self._chance.uniform(0.5, 2.5))
            self._kill(self._chance.randrange(WORKERS))
        for place in range(WORKERS):  # all at once
            self._kill(place)

    def _kill(self, place: int) -> None:
        worker = self._workers[place]
        assert worker.poll() is None, "a worker has ended by itself"
        worker.kill()
        worker.wait()
        self.killed[worker.pid] = time.monotonic()
        self._workers[place] = subprocess.Popen(self._command)

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()


def calls_of(notes: Path, killed: dict[int, float]) -> list[Call]:
    """The calls that were noted, in the order of their begins."""
    calls, open_calls = [], {}
    for line in notes.read_text().splitlines():
        what, pid, moment, *rest = line.split()
        if what == "begin":
            call = Call(int(pid), rest[0], int(rest[1]), int(rest[2]), float(moment), killed.get(int(pid), 0.0))
            open_calls[pid, rest[1]] = call
            calls.append(call)
        elif what == "end":
            open_calls[pid, rest[1]].ended = float(moment)
    return sorted(calls, key=lambda call: call.began)


def served_since(notes: Path, killed: dict[int, float], moment: float) -> float:
    """The time since when some worker was ready, up to ``moment``. A busy machine starts workers slowly."""
    ready = [line.split() for line in notes.read_text().splitlines() if line.startswith("ready")]
    lives = sorted(((float(since), killed.get(int(pid), inf)) for _, pid, since in ready), reverse=True)
    while found := [since for since, until in lives if since < moment <= until]:
        moment = min(found)
    return moment


def check(calls: list[Call], count: Count, notes: Path, killed: dict[int, float]) -> None:
    """Add the problems of the calls of one key."""
    times = [call.began for call in calls]
    for first in range(len(times)):
        for last in range(first, len(times)):
            length, number = times[last] - times[first], last - first + 1
            if number > RATE * (length + SLACK) + BURST:
                count.problems.append(f"{number} calls of {calls[0].key} began in {length:.3f} s")
            if length >= 2:
                count.fullest = max(count.fullest, number / (RATE * length + BURST))
    steps = sorted([(call.began, 1) for call in calls] + [(call.ended, -1) for call in calls])
    running = 0
    for _, step in steps:
        running += step
        count.most_running = max(count.most_running, running)
        if running > CONCURRENCY:
            count.problems.append(f"{running} calls of {calls[0].key} ran at once")
    for former, latter in pairwise(times):
        if latter - former > count.pause:
            count.pause = max(count.pause, latter - max(former, served_since(notes, killed, latter)))


async def play(url: str, notes: Path, seconds: float, seed: int) -> Count:
    chance = random.Random(seed)
    total = int(seconds * 20)
    async with telex.Hub(url, timeout=60) as hub:
        crowd = Crowd(url, notes, chance)
        try:
            killing = asyncio.create_task(crowd.kill_them(seconds))
            for number in range(0, total, 2):
                key = chance.randrange(2)
                await hub.topic("jobs").publish(number + key)
                if number % 6 == 0:
                    await hub.send("job", number + 1_000_000 + key, key=f"job {number}")
            await killing
            wanted = {number // 2 for number in range(0, total, 2)}
            commands = {number // 2 + 500_000 for number in range(0, total, 6)}
            end = time.monotonic() + SETTLED
            while time.monotonic() < end:
                done = {call.number // 2 for call in calls_of(notes, {}) if call.ended}
                if wanted | commands <= done and not any(info.lag for info in await hub.groups.list()):
                    break
                await asyncio.sleep(0.2)
            dead = await hub.groups.dead()
        finally:
            crowd.close()
    count = Count(kills=len(crowd.killed), problems=[])
    calls = calls_of(notes, crowd.killed)
    count.calls, count.cut = len(calls), sum(call.ended == crowd.killed.get(call.pid) for call in calls)
    missing = (wanted | commands) - {call.number // 2 for call in calls if call.ended}
    if missing or dead:
        count.problems.append(f"{sorted(missing)} were never handled, and {len(dead)} are dead")
    count.most_attempts = max(call.attempt for call in calls)
    for name in KEYS:
        check([call for call in calls if call.key == name], count, notes, crowd.killed)
    if count.pause > 4 * LEASE + 10:
        count.problems.append(f"no call began for {count.pause:.1f} s, though the slots of the killed were to be free")
    return count


def run(url: str, folder: Path, seconds: float, seed: int) -> Count:
    return asyncio.run(play(url, folder / "notes", seconds, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder}/limits.db"
        if chosen.engine == "postgresql":
            url = url_of(stack.enter_context(server()), "limits")
        count = run(url, folder, chosen.seconds, chosen.seed)
    print(f"seed {chosen.seed}: {count}")
    sys.exit(bool(count.problems))


if __name__ == "__main__":
    main()
