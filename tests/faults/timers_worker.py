"""A program with triggers that is killed: python -m tests.faults.timers_worker URL NOTES BASE SECONDS.

What it does is told in NOTES, a line a time, each by one call, so it is there whole or not at all:

ready pid time             its triggers have begun
handled trigger number     a function was called
stall pid from to          the machine gave it no time
slow pid from to           what was due takes long to claim; told while it does, since it may be killed meanwhile
"""

import asyncio
import functools
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

import telex
from tests.support.internals import firings_of

LEASE = 1.0
LONG = 0.1
"""Seconds beyond which a stall, or a claim that took so long, is noted."""


class Spec(msgspec.Struct, frozen=True):
    """A trigger: once in ``length`` seconds, once so long after its start, or once so long after BASE."""

    kind: Literal["every", "after", "at"]
    length: float
    misfire: telex.Misfire
    handled: bool
    jitter: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.length:g}-{self.misfire}".replace(".", "_")

    @property
    def topic(self) -> str:
        return f"$trigger:{self.name}" if self.handled else f"fired:{self.name}"


def specs(seconds: float) -> list[Spec]:
    """Twenty triggers, for a run of so long."""
    misfires: tuple[telex.Misfire, ...] = ("skip", "once", "all")
    periods = (0.3, 0.45, 0.7, 1.0)
    found = [
        Spec("every", period, misfire, (row + column) % 2 == 0)
        for row, period in enumerate(periods)
        for column, misfire in enumerate(misfires)
    ]
    found += [Spec("every", 0.6, "all", True, 0.2), Spec("every", 0.8, "skip", True, 0.2)]
    for column, misfire in enumerate(misfires):
        found.append(Spec("after", round(seconds * (0.2 + 0.2 * column), 1), misfire, column % 2 == 0))
        found.append(Spec("at", round(seconds * (0.3 + 0.2 * column), 1), misfire, column % 2 == 1))
    return found


def declare(hub: telex.Hub, note: Callable[..., None], base: float, seconds: float) -> None:
    # A firing that a killed process had comes again when its lease ends: that of a trigger, 30 s, is long for a test.
    hub.on = functools.partial(hub.on, lease=LEASE)  # type: ignore[method-assign]
    hub.retain("$trigger:>", messages=1_000_000)
    hub.retain("fired:>", messages=1_000_000)

    async def work(firing: telex.Firing) -> None:
        note("handled", firing.trigger, firing.number)
        await asyncio.sleep(random.random() * 0.02)

    for spec in specs(seconds):
        topic = None if spec.handled else spec.topic
        if spec.kind == "every":
            trigger = hub.every(spec.length, topic=topic, name=spec.name, misfire=spec.misfire, jitter=spec.jitter)
        elif spec.kind == "after":
            trigger = hub.after(spec.length, topic=topic, name=spec.name, misfire=spec.misfire)
        else:
            when = datetime.fromtimestamp(base + spec.length, UTC)
            trigger = hub.at(when, topic=topic, name=spec.name, misfire=spec.misfire)
        if spec.handled:
            trigger(work)


def watch_claims(hub: telex.Hub) -> set[float]:
    """Since when it claims what was due, if it does."""
    began: set[float] = set()
    queue = firings_of(hub).queue
    claim_all = queue.claim_all

    async def timed() -> None:
        now = time.time()
        began.add(now)
        await claim_all()
        began.remove(now)

    queue.claim_all = timed  # type: ignore[method-assign]
    return began


async def tell_stalls(note: Callable[..., None], claiming: set[float]) -> None:
    """Instants that passed while the machine or its disk was busy were not lost by a trigger."""
    last = time.time()
    while True:
        await asyncio.sleep(LONG / 2)
        now = time.time()
        if now - last > 1.5 * LONG:
            note("stall", os.getpid(), last, now)
        for began in claiming:
            if now - began > LONG:
                note("slow", os.getpid(), began, now + LONG)
        last = now


async def main(url: str, notes: int, base: float, seconds: float) -> None:
    def note(*words: object) -> None:
        os.write(notes, (" ".join(map(str, words)) + "\n").encode())

    hub = telex.Hub(url)
    declare(hub, note, base, seconds)
    claiming = watch_claims(hub)
    async with hub:
        note("ready", os.getpid(), time.time())
        await tell_stalls(note, claiming)


if __name__ == "__main__":
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    asyncio.run(main(sys.argv[1], log, float(sys.argv[3]), float(sys.argv[4])))
