"""The timer of delayed messages."""

import asyncio
from collections.abc import Callable, Coroutine
from time import time
from typing import Any, cast

import pytest

import telex
from telex.engines.sqlite import delayed
from telex.engines.sqlite.address import parse
from telex.engines.sqlite.client import FileClient


class Timers:
    """A runtime of delayed messages whose loop only notes what is asked of it."""

    def __init__(self) -> None:
        self.loop = self
        self.address = parse("sqlite:///x.db")
        self.waits: list[float] = []
        self.rings: list[Callable[[], None]] = []
        self.begun: list[Coroutine[Any, Any, None]] = []
        self.failed: Exception | None = None

    def call_later(self, wait: float, ring: Callable[[], None]) -> asyncio.TimerHandle:
        self.waits.append(wait)
        self.rings.append(ring)
        return asyncio.get_running_loop().call_later(0, lambda: None)

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.begun.append(work)

    async def call(self, function: object, after: object) -> None:
        raise telex.EngineFailed("writing", "the disk is full")


async def test_a_due_message_is_tried_again_after_the_engine_failed() -> None:
    timers = Timers()
    waiting = delayed.Delayed(cast(FileClient, timers))
    waiting.arm(time() + 5)
    assert timers.waits[-1] == pytest.approx(5, abs=0.5)
    timers.rings.pop()()
    await timers.begun.pop()
    assert timers.waits[1:] == [pytest.approx(1, abs=0.5)]
    timers.rings.pop()()
    await timers.begun.pop()
    assert len(timers.waits) == 3
    waiting.close()


async def test_the_timer_of_delayed_messages_looks_again_every_hour() -> None:
    timers = Timers()
    waiting = delayed.Delayed(cast(FileClient, timers))
    waiting.arm(time() + 10 * delayed.LONGEST)
    waiting.close()
    assert timers.waits == [delayed.LONGEST]
