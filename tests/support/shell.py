"""Helpers of the tests of the asynchronous side: time that is moved, and lists of the remains."""

import asyncio
import gc
import threading
from collections.abc import Callable, Sized
from typing import Any, TypeVar

import telex
from telex.hub import runtime_of
from telex.topics.topic import Topic, publisher_of
from tests.support.internals import log_of
from tests.support.leaks import open_descriptors
from tests.support.loops import idle

T = TypeVar("T")


def in_a_thread(function: Callable[[], T]) -> T:
    """What a function returns in another thread, while the loop of this one stands still."""
    returned: list[T] = []
    thread = threading.Thread(target=lambda: returned.append(function()))
    thread.start()
    thread.join()
    return returned[0]


class Clock:
    """The clock of the running loop, an asyncio one: `forward` makes timers due without waiting for them."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self.ahead = 0.0
        loop.time = self.time  # type: ignore[method-assign]  # of a loop that is this test's own

    def time(self) -> float:
        return self._real() + self.ahead

    async def forward(self, seconds: float) -> None:
        await idle()  # what was begun before begins before
        self.ahead += seconds
        await idle()


def left(hub: telex.Hub) -> dict[str, object]:
    """All that could be left behind by something that ended: on the loop, in the system, and in every log of a hub."""
    found: dict[str, object] = {
        "tasks": sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}),
        "timers": _timers(),
        "descriptors": sorted(open_descriptors()),
    }
    for topic in runtime_of(hub).topics.all():
        held = left_in(topic)
        if any(held.values()):  # a topic that holds nothing may be let go
            found[topic.id] = held
    return found


def left_in(topic: Topic[Any]) -> dict[str, int]:
    """What a topic's log holds of those who read it, wait for it and publish to it."""
    log = log_of(topic)
    groups: dict[str, Sized] = {
        "cursors": log.cursors,
        "holders": log.holders,
        "tails": log.tails,
        "blocking": log.blocking_cursors,
        "waiters": log.observer.waiters,
        "blocked": log.observer.blocked,
        "queue": publisher_of(topic).queue or (),
    }
    return {name: len(group) for name, group in groups.items()}


def _timers() -> int:
    """Timers that are due some time. asyncio keeps them in a heap; uvloop tells of none, so they are looked for."""
    loop = asyncio.get_running_loop()
    heap = getattr(loop, "_scheduled", None)
    timers = heap if heap is not None else [it for it in gc.get_objects() if type(it).__name__ == "TimerHandle"]
    # uvloop counts in milliseconds: one that has just rung may be due by its own account.
    due = loop.time() + (0.002 if heap is None else 0.0)
    return sum(not timer.cancelled() and timer.when() > due for timer in timers)
