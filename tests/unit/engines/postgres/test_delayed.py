"""The timer of delayed messages."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Any, cast

import pytest

from telex.engines.postgres import PostgresEngine
from telex.engines.postgres.address import parse
from telex.engines.postgres.delayed import DelayedTimer
from telex.engines.postgres.link import ServerLink
from telex.errors import EngineFailed
from telex.testing.conformance.rig import Rig, message


class Handle:
    """A timer of `TimedLink`."""

    def __init__(self, timers: list["Handle"], seconds: float, callback: Callable[[], None]) -> None:
        self.seconds, self.callback = seconds, callback
        self._timers = timers
        timers.append(self)

    def cancel(self) -> None:
        self._timers.remove(self)


class TimedLink:
    """The part of a `ServerLink` that the timer uses, at the time 1000. The test rings the timers."""

    def __init__(self, *answers: float | Exception | None) -> None:
        self.address = parse("postgresql://me@db/shop")
        self.loop = self.clock = self
        self.closed: Exception | None = None
        self.lost_at: float | None = None
        self.timers: list[Handle] = []
        self.meanwhile: Callable[[], None] = lambda: None
        """Called while a statement runs."""
        self._answers = list(answers)

    def now(self) -> float:
        return 1000.0

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        return Handle(self.timers, seconds, callback)

    def start(self, what: str, coroutine: Any) -> None:
        with pytest.raises(StopIteration):
            coroutine.send(None)

    async def execute(self, what: str, statement: bytes, *parameters: object) -> list[tuple[Any, ...]]:
        answer = self._answers.pop(0)
        self.meanwhile()
        if isinstance(answer, Exception):
            raise answer
        return [(answer,)]

    def ring(self) -> None:
        (timer,) = self.timers
        self.timers.clear()
        timer.callback()

    @property
    def waits(self) -> list[float]:
        return [timer.seconds for timer in self.timers]


def timer_on(link: TimedLink) -> DelayedTimer:
    return DelayedTimer(cast(ServerLink, link))


def test_the_timer_is_set_for_the_earliest_message_soon_after_it_is_due() -> None:
    link = TimedLink()
    timer = timer_on(link)
    timer.arm(None)
    assert link.waits == []
    for due in (1030.0, 1010.0, 1020.0):
        timer.arm(due)
    assert link.waits == [pytest.approx(10.15, abs=0.11)], "the process that delayed a message is first"


def test_a_message_that_is_due_is_published_at_once() -> None:
    link = TimedLink()
    timer_on(link).arm(0.0)
    assert link.waits == [pytest.approx(0.01, abs=0.011)]


def test_a_distant_message_is_waited_for_in_parts() -> None:
    link = TimedLink()
    timer_on(link).arm(1e9)
    assert link.waits == [3600.0]


def test_after_publishing_the_timer_is_set_for_the_next_message() -> None:
    link = TimedLink(1007.0, None)
    timer = timer_on(link)
    timer.arm(1001.0)
    link.ring()
    assert link.waits == [7.0]
    link.ring()
    assert link.waits == []


def test_a_message_that_is_stored_while_others_are_published_is_published_when_it_is_due() -> None:
    """The answer may be of a moment before it was stored."""
    link = TimedLink(None)
    timer = timer_on(link)
    timer.arm(1001.0)
    link.meanwhile = lambda: timer.arm(1005.0)
    link.ring()
    assert link.waits == [pytest.approx(5.15, abs=0.11)]


@pytest.mark.parametrize(("lost_at", "logged"), [(None, 1), (999.0, 0)])
def test_a_failure_is_logged_unless_the_connection_is_lost_and_the_next_look_sets_the_timer(
    caplog: pytest.LogCaptureFixture, lost_at: float | None, logged: int
) -> None:
    link = TimedLink(EngineFailed("publishing", "no space left"))
    link.lost_at = lost_at
    timer = timer_on(link)
    timer.arm(1001.0)
    link.ring()
    assert len(caplog.records) == logged
    assert link.waits == []
    timer.arm(1002.0)
    assert len(link.waits) == 1


def test_a_closed_timer_publishes_nothing() -> None:
    link = TimedLink()
    timer = timer_on(link)
    timer.arm(1001.0)
    timer.close()
    timer.arm(1001.0)
    assert link.waits == []


@pytest.mark.slow
async def test_two_processes_publish_a_delayed_message_once_and_not_before_it_is_due(engines: str) -> None:
    one, two = PostgresEngine.from_url(engines), PostgresEngine.from_url(engines)
    async with Rig(one) as rig, Rig(two) as other:
        due = time() + 0.2
        drafts = [message("delayed", number, id=f"delayed {number}") for number in range(5)]
        await asyncio.gather(*(each.later(draft, due) for each in (rig, other) for draft in drafts))
        assert "delayed" not in rig.taken
        await rig.until(lambda: len(rig.contents("delayed")) == 5, "the delayed messages")
        assert min(each.timestamp.timestamp() for each in rig.taken["delayed"]) >= due - 0.1
        await other.until(lambda: len(other.contents("delayed")) == 5, "the delayed messages")
        assert sorted(rig.contents("delayed")) == list(range(5))
        assert [each.seq for each in other.taken["delayed"]] == [1, 2, 3, 4, 5]
