"""Kill and stop the workers of commands that run once, and see whether each key has one outcome and one effect.

python -m tests.faults.once_chaos --rounds 50 --keys 500 --command tx
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import msgspec

import telex
from telex.engines.sqlite.upkeep import check
from telex.once.machine import decode
from tests.faults.once_worker import LEASE
from tests.support.internals import engine_of, records_of
from tests.support.postgres import server

WORKERS, REPEATS = 4, 5
SPREAD = 1.5
"""Seconds over which the sends of a round are spread."""


class Count(msgspec.Struct):
    """What the rounds have shown."""

    command: str
    keys: int = 0
    sends: int = 0
    replayed: int = 0
    kills: int = 0
    stops: int = 0
    executions: int = 0
    extra: int = 0
    behind_a_lock: int = 0
    effects: int = 0
    problems: list[str] = []


class Crowd:
    """The workers. What is done to each is noted, with the time."""

    def __init__(self, url: str, notes: Path, conninfo: str, chance: random.Random) -> None:
        self.hurt: dict[int, list[tuple[float, float]]] = defaultdict(list)  # from when to when, by process
        self.kills = self.stops = 0
        self._command = [sys.executable, "-m", "tests.faults.once_worker", url, str(notes), conninfo]
        self._notes = notes
        self._chance = chance
        self._workers: list[subprocess.Popen[bytes]] = []

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command)

    @contextmanager
    def open(self) -> Iterator[None]:
        self._workers = [self._start() for _ in range(WORKERS)]
        try:
            yield
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()

    async def ready(self, count: int) -> None:
        while not self._notes.exists() or self._notes.read_text().count("ready ") < count:
            assert all(worker.poll() is None for worker in self._workers), "a worker has ended by itself"
            await asyncio.sleep(0.05)

    async def hurt_them(self) -> None:
        """Kill one or stop one past its lease, again and again."""
        while True:
            await asyncio.sleep(0.1 + self._chance.random() * 0.4)
            number = self._chance.randrange(WORKERS)
            worker, now = self._workers[number], time.monotonic()
            if self._chance.random() < 0.5:
                worker.kill()
                worker.wait()
                self.kills += 1
                self.hurt[worker.pid].append((now, float("inf")))
                self._workers[number] = self._start()
                continue
            worker.send_signal(signal.SIGSTOP)
            self.stops += 1
            try:
                await asyncio.sleep(LEASE * (1.2 + self._chance.random()))
            finally:
                worker.send_signal(signal.SIGCONT)
                self.hurt[worker.pid].append((now, time.monotonic()))


async def play(
    url: str, notes: Path, command: str, rounds: int, keys: int, seed: int, conninfo: str
) -> tuple[Crowd, Count]:
    chance, count = random.Random(seed), Count(command)
    crowd = Crowd(url, notes, conninfo, chance)
    async with telex.Hub(url) as hub:
        if command == "tx":
            async with hub.transaction() as tx:
                await tx.execute("CREATE TABLE charges (key TEXT)")
        hub.retain("$command:>", messages=1000)
        with crowd.open():
            await crowd.ready(WORKERS)
            for number in range(rounds):
                hurting = asyncio.create_task(crowd.hurt_them())
                try:
                    await play_round(hub, command, [f"{number}-{n}" for n in range(keys)], chance, count)
                finally:
                    hurting.cancel()
                    await asyncio.gather(hurting, return_exceptions=True)
                print(
                    f"round {number + 1}: {count.sends} sent, {crowd.kills} killed, {crowd.stops} stopped", flush=True
                )
        count.kills, count.stops = crowd.kills, crowd.stops
    return crowd, count


async def play_round(hub: telex.Hub, command: str, keys: list[str], chance: random.Random, count: Count) -> None:
    async def send(key: str, after: float) -> tuple[str, telex.Outcome[object]]:
        await asyncio.sleep(after)
        ticket = await hub.send(command, key, key=key)
        return key, await ticket.outcome(timeout=120)

    outcomes = await asyncio.gather(*[send(key, chance.random() * SPREAD) for key in keys for _ in range(REPEATS)])
    by_key: dict[str, set[object]] = defaultdict(set)
    for key, outcome in outcomes:
        if outcome.error is not None:
            count.problems.append(f"{key} has failed: {outcome.error}")
        by_key[key].add(outcome.result)
        count.replayed += outcome.replayed
    count.sends += len(outcomes)
    count.keys += len(by_key)
    for key, results in by_key.items():
        if len(results) != 1:
            count.problems.append(f"{key} has outcomes {results}")
        if command != "postgres" and engine_of(hub).records is not None:
            record = await records_of(hub).get(f"once:{command}", key)
            entry = None if record is None else decode(record.value)
            if (
                entry is None
                or not isinstance(entry.result, msgspec.Raw)
                or {msgspec.json.decode(entry.result)} != results
            ):
                count.problems.append(f"{key} has the outcome {results}, and recorded is {entry}")


def look(notes: str, crowd: Crowd, count: Count) -> None:
    """Every execution but the last of a key had a worker that was dead or stalled before the next began: by itself, or
    since another that was stopped had the lock of the file.
    """
    begun: dict[str, list[tuple[float, int]]] = defaultdict(list)
    lines = [line.split(" ") for line in notes.splitlines()]
    for what, began_at, pid, _, ended_at in lines:
        if what == "stall":  # the machine was busy elsewhere
            crowd.hurt[int(pid)].append((float(began_at), float(ended_at)))
    for what, key, pid, _, at in lines:
        if what == "begin":
            begun[key].append((float(at), int(pid)))
            count.executions += 1
        count.effects += what == "effect"
    for key, runs in begun.items():
        runs.sort()
        count.extra += len(runs) - 1
        for (began, worker), (next_began, _) in pairwise(runs):
            if any(start < next_began and end > began for start, end in crowd.hurt[worker]):
                continue
            # Whoever is stopped in the middle of a commit has the file's lock, and nobody can renew a lease meanwhile.
            if any(start < next_began and end > began for hurt in crowd.hurt.values() for start, end in hurt):
                count.behind_a_lock += 1
            else:
                count.problems.append(f"{key} ran in {worker}, which was neither dead nor stalled, and again elsewhere")


def charges(count: Count, rows: list[str]) -> None:
    """With a transaction, the effects are one a key."""
    found = Counter(rows)
    count.effects = sum(found.values())
    count.problems += [f"{key} was charged {times} times" for key, times in found.items() if times != 1]
    if len(found) != count.keys:
        count.problems.append(f"{count.keys} keys, and {len(found)} charged")


async def rows_of(url: str) -> list[str]:
    async with telex.Hub(url) as hub, hub.transaction() as tx:
        return [key for (key,) in await tx.execute("SELECT key FROM charges")]


def run(folder: Path, command: str, rounds: int, keys: int, seed: int, conninfo: str = "") -> Count:
    url, notes = f"sqlite:///{folder}/once.db", folder / "notes"
    if command == "postgres":
        postgres(conninfo, "CREATE TABLE charges (key TEXT)")
    crowd, count = asyncio.run(play(url, notes, command, rounds, keys, seed, conninfo))
    look(notes.read_text(), crowd, count)
    if command == "tx":
        charges(count, asyncio.run(rows_of(url)))
    elif command == "postgres":
        charges(count, postgres(conninfo, "SELECT key FROM charges"))
    count.problems += check(folder / "once.db")
    return count


def postgres(conninfo: str, sql: str) -> list[str]:
    import psycopg

    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(sql.encode())
        return [key for (key,) in cursor.fetchall()] if cursor.description else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--command", choices=["plain", "tx", "postgres"], default="plain")
    given = parser.parse_args()
    print("seed", given.seed)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as exits:
        conninfo = exits.enter_context(server()) if given.command == "postgres" else ""
        count = run(Path(folder), given.command, given.rounds, given.keys, given.seed, conninfo)
    problems, count.problems = count.problems, []
    print(msgspec.json.encode(count).decode())
    print(*problems[:20], f"{len(problems)} problems", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
