"""Edges of triggers, one each; `tests/mutants/hand.py` names the bug that each finds."""

import asyncio
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.hub import runtime_of, scheduler_of
from telex.testing.clock import VirtualClock
from telex.triggers.admin import fire_trigger, pause_trigger, stored_triggers
from telex.triggers.conditions.evaluator import ConditionEvaluator, Fired
from telex.triggers.conditions.stream import Counted, Rate
from telex.triggers.timers import MAX_SLEEP_SECONDS
from telex.triggers.values import EngineValue
from tests.support.internals import caught_up, claimant_of, timers_of, when_state
from tests.support.pretend import PretendEngine, PretendStore, Server
from tests.unit.triggers.conditions.test_evaluator import by_content, feed
from tests.unit.triggers.test_shared import kept, watched


def test_a_key_in_use_is_kept_where_rates_are_skimmed() -> None:
    fold = ConditionEvaluator(Counted(Rate("a", 1000, by_content), ">=", 90), 0.0, {}, keys=10)
    fired = []
    for moment in range(100):
        fired += feed(fold, (float(moment), "a", "k"), (float(moment), "a", f"key {moment}"))
    assert len(fold) == 10
    assert fired == [(89.0, "k")]


async def test_a_paused_trigger_that_ends_leaves_no_timer(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/triggers.db?synchronous=normal")
    hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)
    async with hub:
        await caught_up(hub)
        assert await pause_trigger(scheduler_of(hub), "full")
        await hub.variable("count", 0).set(10)
        await watched(hub, "full", 10)
        await caught_up(hub)
        timer = claimant_of(hub, "full").pause_check
        assert timer is not None
        assert not timer.cancelled()
        hub.trigger("full").cancel()
        assert timer.cancelled()


def test_the_timer_looks_again_when_the_clock_was_set(clock: VirtualClock) -> None:
    ahead = 0.0
    hub = telex.Hub(clock=lambda: clock() + ahead)
    heard: list[int] = []

    @hub.after("1h", topic="soon")
    def soon(firing: telex.Firing) -> None:
        heard.append(firing.number)

    async def main() -> None:
        nonlocal ahead
        async with hub:
            await asyncio.sleep(MAX_SLEEP_SECONDS + 1)
            assert heard == []
            ahead = 3600.0
            await asyncio.sleep(MAX_SLEEP_SECONDS + 1)
            assert heard == [1]

    clock.run(main())


def test_an_older_change_does_not_replace_a_newer_value() -> None:
    count = EngineValue(runtime_of(telex.Hub()), "count", 0, None)
    for value, seq, expected in ((5, 3, 5), (4, 2, 5), (4, 3, 5), (6, 4, 6)):
        count.hear(value, seq)
        assert count.value == expected


async def test_of_several_topics_the_last_100_000_messages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = PretendStore.read_pattern

    async def counted(self: PretendStore, topics: Sequence[str], count: int) -> Sequence[telex.Message[Any]]:
        asked.append(count)
        return await read(self, topics, count)

    monkeypatch.setattr(PretendStore, "read_pattern", counted)
    hub = telex.Hub(PretendEngine(Server()))
    hub.when(hub.rate("logins:*", per="1h") >= 2, topic="alarms", rising=True)
    async with hub:
        await caught_up(hub)
    assert asked == [100_000], "as docs/triggers.md says"


async def test_a_trigger_that_has_not_fired_is_not_late(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/triggers.db?synchronous=normal")
    hub.after("1h", topic="soon")
    hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)
    async with hub:
        await caught_up(hub)
        assert [(found.fired, found.late, found.last) for found in hub.triggers()] == [(0, 0.0, None)] * 2
        assert [(found.fired, found.late, found.last) for found in await stored_triggers(scheduler_of(hub))] == [
            (0, 0.0, None)
        ] * 2


async def test_a_trigger_that_is_cancelled_while_it_publishes_publishes_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, claimed = telex.Hub(PretendEngine(Server())), list[float]()
    hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)
    async with hub:
        await caught_up(hub)
        found = claimant_of(hub, "full")

        async def claim(fired: Fired) -> bool:
            claimed.append(fired.instant)
            hub.trigger("full").cancel()
            return True

        monkeypatch.setattr(found, "claim_one", claim)
        found.pending.extend([Fired(1.0), Fired(2.0), Fired(3.0)])
        assert await found.claim_pending()
        assert claimed == [1.0]


def test_a_function_that_is_looked_at_misses_nothing(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    @hub.when(lambda: False, topic="never", every="1s")
    def never(firing: telex.Firing) -> None: ...

    async def main() -> None:
        async with hub:
            assert when_state(hub, "never").missed() == (0, 0)

    clock.run(main())


async def test_by_hand_a_stored_trigger_publishes_to_its_topic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/triggers.db?synchronous=normal"
    hub = telex.Hub(url)
    hub.every("1h", topic="ticks", name="clock")
    async with hub:
        await caught_up(hub)
    async with telex.Hub(url) as other:
        assert await fire_trigger(scheduler_of(other), "clock") == 1
        assert [(firing.trigger, firing.number) for firing in await kept(other, "ticks")] == [("clock", 1)]
        assert await fire_trigger(scheduler_of(other), "ticks") is None


def test_a_trigger_that_has_ended_waits_for_nothing_when_it_is_resumed(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.silence("beats", longer_than="10s"), topic="silent", rising=True)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(1)
            found = hub.trigger("silent")
            assert found is not None
            assert timers_of(hub).first() < inf
            found.cancel()
            assert timers_of(hub).first() == inf
            found.resume()
            assert timers_of(hub).first() == inf

    clock.run(main())
