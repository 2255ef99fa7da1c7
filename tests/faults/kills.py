"""Kill a program with signal 9 at random moments, again and again, and see what is left.

python -m tests.faults.kills --times 200
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

import telex
from telex.engines.sqlite.upkeep import check
from tests.faults.victim import KEPT

LONGEST = 0.25
"""Seconds that the program is left to work, at most."""


class Count(msgspec.Struct):
    """What a series of kills has shown."""

    kills: int = 0
    acknowledged: int = 0
    kept: int = 0
    handled: int = 0
    handled_again: int = 0
    problems: list[str] = []


def kill_often(folder: Path, times: int, seed: int, options: str = "") -> Count:
    chance, notes = random.Random(seed), folder / "notes"
    url = f"sqlite:///{folder}/victim.db{options}"
    for run in range(times):
        process = start(url, notes, run)
        ready(process)
        time.sleep(chance.random() * LONGEST)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last_run(url, notes)
    count = asyncio.run(look(url, notes.read_text()))
    count.kills = times
    count.problems += check(folder / "victim.db")
    return count


def start(url: str, notes: Path, run: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.faults.victim", url, str(notes), str(run)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def ready(process: "subprocess.Popen[bytes]") -> None:
    """Wait until its hub is open."""
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == b"ready\n", "it has ended by itself"


def last_run(url: str, notes: Path) -> None:
    """Handle what is left, and publish nothing."""
    with start(url, notes, -1) as process:
        assert process.wait(120) == 0, "the last run did not come to its end"


def together(folder: Path, processes: int, messages: int) -> Count:
    """Several processes publish and handle on one file at once, until they have published so many."""
    notes, errors, url = folder / "notes", folder / "errors", f"sqlite:///{folder}/victim.db"
    with errors.open("wb") as told:
        command = [sys.executable, "-m", "tests.faults.victim", url, str(notes)]
        running = [
            subprocess.Popen([*command, str(run)], stdout=subprocess.DEVNULL, stderr=told) for run in range(processes)
        ]
        try:
            while not notes.exists() or notes.read_text().count("\nP ") < messages:
                assert all(process.poll() is None for process in running), errors.read_text()[-2000:]
                time.sleep(0.05)
        finally:
            for process in running:
                process.send_signal(signal.SIGKILL)
                process.wait()
    last_run(url, notes)
    count = asyncio.run(look(url, notes.read_text()))
    count.problems += check(folder / "victim.db")
    count.problems += errors.read_text().splitlines()
    return count


async def look(url: str, notes: str) -> Count:
    count, published, seqs = Count(problems=[]), {}, {}
    handled: Counter[str] = Counter()
    acked: set[str] = set()
    for line in notes.splitlines():
        kind, *rest = line.split(" ")
        if kind == "P":
            who, n, topic, seq, id = rest
            published[id] = (who, int(n))
            if (topic, seq) in seqs:
                count.problems.append(f"{topic} {seq} was acknowledged twice")
            seqs[topic, seq] = id
        elif kind == "H":
            if rest[0] in acked:
                count.problems.append(f"{rest[0]} was handled after its ack")
            handled[rest[0]] += 1
        elif kind == "A":
            acked.add(rest[0])
    count.acknowledged, count.handled = len(published), len(handled)
    count.handled_again = sum(times - 1 for times in handled.values())
    count.problems += [f"{id} was never handled" for id in published if id not in handled]
    async with telex.Hub(url) as hub:
        for name in await hub.topics():
            last: dict[str, int] = defaultdict(lambda: -1)
            expected, kept = None, 0
            async for message in hub.topic(name).history():
                kept += 1
                if expected not in (None, message.seq):
                    count.problems.append(f"{name} {message.seq} follows {expected}")
                expected = message.seq + 1
                who, n = message.content.split(" ")
                if int(n) <= last[who]:
                    count.problems.append(f"{name}: {who} {n} after {last[who]}")
                last[who] = int(n)
                told = seqs.pop((name, str(message.seq)), message.id)
                if told != message.id:
                    count.problems.append(f"{name} {message.seq} is not what was acknowledged")
            end = hub.topic(name).statistics().published
            first = max(1, end - KEPT + 1)
            lost = [seq for topic, seq in seqs if topic == name and int(seq) >= first]
            count.problems += [f"{name} {seq} was acknowledged and is not there" for seq in lost]
            count.kept += kept
    return count


def main(doc: str = __doc__, times: int = 200, series: Callable[[Path, int, int], Count] = kill_often) -> None:
    """Run a series, and say what it has shown."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--times", type=int, default=times)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count = series(Path(folder), chosen.times, chosen.seed)
    print(f"seed {chosen.seed}: {count.kills} kills, {count.acknowledged} messages acknowledged, {count.kept} kept")
    print(f"{count.handled} handled, {count.handled_again} of these calls again")
    for problem in count.problems[:20]:
        print(problem)
    sys.exit(1 if count.problems else 0)


if __name__ == "__main__":
    main()
