"""`Local`: what a command that is carried out in this process alone has in hand; `CommandStatistics`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import msgspec

from telex.commands.run import Run
from telex.commands.runner import Runner
from telex.topic import Topic


class CommandStatistics(msgspec.Struct, frozen=True):
    """A command that a hub serves, at one moment; the counts are of this process.

    ``running`` and ``waiting`` now; ``executed`` is how often its handler was called, ``failed`` how many outcomes were
    errors, ``expired`` how many commands nobody waited for any more when they were to begin. For those that run once:
    ``replayed`` outcomes that were there, ``waited`` duplicates that waited for one, ``conflicted`` keys that came with
    other content, ``taken_over`` leases that had run out, ``fenced`` results that came too late.
    """

    command: str
    running: int
    waiting: int
    executed: int
    failed: int
    expired: int
    replayed: int
    waited: int
    conflicted: int
    taken_over: int
    fenced: int


class Local:
    """What a command that is carried out in this process alone has in hand."""

    __slots__ = ("blocked", "keys", "outcomes", "parked", "running", "steps", "waiting")

    def __init__(self, outcomes: Topic[Any], steps: Topic[Any]) -> None:
        self.running: int = 0  # runners with a run
        self.parked: list[Runner] = []  # those without
        self.waiting: deque[Run] = deque()
        self.keys: dict[str, list[Run]] = {}  # the first works on the key, the others wait for its outcome
        self.blocked: list[asyncio.Future[None]] = []  # senders that wait for room
        self.outcomes: Topic[Any] = outcomes
        self.steps: Topic[Any] = steps

    def unblock(self) -> None:
        """There is room: whoever waits for it looks again."""
        blocked, self.blocked = self.blocked, []
        for future in blocked:
            if not future.done():
                future.set_result(None)
