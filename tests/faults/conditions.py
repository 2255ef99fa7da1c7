"""Kill programs that share variables and conditions, and see that no change was lost and each rise fired once.

python -m tests.faults.conditions --seconds 60
"""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

import telex
from telex.engines.sqlite.upkeep import check
from telex.triggers.variable import value_of
from tests.faults import command
from tests.faults.conditions_worker import KEYS, declare

WORKERS = 4
SETTLED = 30.0
"""Seconds, at most, until what became true has fired when nobody is killed any more."""
ONCE = ("full", "begun", "hundred")


class Count(msgspec.Struct):
    """What a run has shown."""

    kills: int = 0
    told: int = 0  # changes of the counter that a program was told are done
    value: int = 0
    rises: int = 0
    firings: int = 0
    keys: int = 0
    problems: list[str] = []


def hurt(url: str, notes: Path, seconds: float, chance: random.Random) -> int:
    """Run programs, and kill one again and again; how often."""
    kills, end = 0, time.monotonic() + seconds
    command = [sys.executable, "-m", "tests.faults.conditions_worker", url, str(notes)]
    running: list[subprocess.Popen[bytes]] = []
    try:
        running += [subprocess.Popen(command) for _ in range(WORKERS)]
        while time.monotonic() < end:
            time.sleep(0.2 + chance.random() * 0.8)
            number = chance.randrange(WORKERS)
            assert running[number].poll() is None, "a program has ended by itself"
            running[number].kill()
            running[number].wait()
            running[number] = subprocess.Popen(command)
            kills += 1
    finally:
        for process in running:
            process.kill()
            process.wait()
    return kills


async def history(hub: telex.Hub, topic: str) -> list[telex.Message[object]]:
    return [message async for message in hub.topic(topic).history()]


async def look(url: str, count: Count) -> None:
    """What is in the file, once a program that nobody kills has had the time to fire what became true."""
    hub = telex.Hub(url)
    counter, _ = declare(hub)
    async with hub:
        count.value = await value_of(counter).stored()
        changes = [msgspec.convert(m.content, telex.Change[int]) for m in await history(hub, "switch")]
        count.rises = sum(change.value for change in changes)
        count.problems += _broken("switch", changes)
        adds = [msgspec.convert(m.content, telex.Change[int]) for m in await history(hub, "count")]
        count.problems += _broken("count", adds)
        wanted = dict.fromkeys(ONCE, 1) | {"rises": count.rises, "often": KEYS}
        end = time.monotonic() + SETTLED
        firings = {topic: await history(hub, topic) for topic in wanted}
        while any(len(firings[topic]) < number for topic, number in wanted.items()) and time.monotonic() < end:
            await asyncio.sleep(0.1)
            firings = {topic: await history(hub, topic) for topic in wanted}
    told = {topic: [msgspec.convert(m.content, telex.Firing) for m in of] for topic, of in firings.items()}
    count.firings, count.keys = len(told["rises"]), len(told["often"])
    count.problems += list(_wrong(count, firings, told))


def _broken(name: str, changes: list[telex.Change[int]]) -> Iterator[str]:
    """Each change begins where the one before has ended."""
    value = 0
    for number, change in enumerate(changes, 1):
        if change.before != value:
            yield f"change {number} of {name} is from {change.before}, and it was {value}"
        value = change.value


def _wrong(
    count: Count, firings: dict[str, list[telex.Message[object]]], told: dict[str, list[telex.Firing]]
) -> Iterator[str]:
    if not count.told <= count.value <= count.told + count.kills + WORKERS:
        yield f"{count.told} changes were acknowledged, {count.kills} programs killed, and the value is {count.value}"
    if count.firings != count.rises:
        yield f"it rose {count.rises} times and fired {count.firings} times"
    for topic in ONCE:
        if len(told[topic]) != 1:
            yield f"{topic} fired {len(told[topic])} times"
    for topic, of in told.items():
        if [firing.number for firing in of] != list(range(1, len(of) + 1)):
            yield f"the numbers of {topic} are not 1 to {len(of)}"
        if len({message.id for message in firings[topic]}) != len(of):
            yield f"an id of {topic} is there twice"
    keys = sorted(firing.key or "" for firing in told["often"])
    if keys != sorted(str(key) for key in range(KEYS)):
        yield f"often fired for {keys}"


def run(folder: Path, seconds: float, seed: int) -> Count:
    url, notes = f"sqlite:///{folder}/conditions.db", folder / "notes"
    count = Count(kills=hurt(url, notes, seconds, random.Random(seed)))
    count.told = notes.read_text().count("\n")
    asyncio.run(look(url, count))
    count.problems += check(folder / "conditions.db")
    return count


if __name__ == "__main__":
    sys.exit(command.play(__doc__, run))
