"""The protocol of firings: both implementations have all of it, and fire a trigger once for each instant."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.hub import scheduler_of
from telex.triggers.engine_firings import EngineFirings
from telex.triggers.firings import Firings
from telex.triggers.local_firings import LocalFirings
from telex.triggers.time_trigger import TimeFirings
from telex.triggers.when_trigger import WhenFirings
from tests.support.loops import until


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/firings.db"


def members(*protocols: type) -> Iterable[str]:
    return [name for protocol in protocols for name in vars(protocol) if not name.startswith("_")]


def firings_of(hub: telex.Hub) -> Any:
    return scheduler_of(hub).firings


def test_the_engine_chooses_the_firings(url: str) -> None:
    firings = firings_of(telex.Hub(url))
    assert type(firings) is (LocalFirings if url == "memory://" else EngineFirings)
    names = list(members(Firings, TimeFirings, WhenFirings))
    assert len(names) >= 12
    assert [name for name in names if not callable(getattr(firings, name, None))] == []


async def test_a_trigger_fires_by_the_schedule_and_by_hand(url: str) -> None:
    async with telex.Hub(url) as hub, hub.topic("t:*").subscribe() as inbox:
        once = hub.after("10ms", topic="t:once", name="once")
        await until(lambda: once.ended)
        again = hub.every("1h", topic="t:again", name="again")
        await again.fire()
        await again.fire()
        found = [(await inbox.receive(timeout=20)).content for _ in range(3)]
        told = [each if isinstance(each, telex.Firing) else telex.Firing(**each) for each in found]
        assert [(each.trigger, each.number) for each in told] == [("once", 1), ("again", 1), ("again", 2)]


async def test_a_condition_fires_when_it_becomes_true(url: str) -> None:
    async with telex.Hub(url) as hub:
        count = hub.variable("count", 0)
        hub.when(count >= 2, name="high", topic="high", rising=True)
        hub.when(count >= 9, name="last", topic="high", rising=True)
        async with hub.topic("high").subscribe() as inbox:
            for value in (1, 2, 3, 0, 5, 9):
                await count.set(value)
            fired = [(await inbox.receive(timeout=20)).content for _ in range(3)]
        told = [each if isinstance(each, telex.Firing) else telex.Firing(**each) for each in fired]
        assert [(each.trigger, each.number) for each in told] == [("high", 1), ("high", 2), ("last", 1)]


async def test_a_variable_has_its_initial_value_and_changes(url: str) -> None:
    async with telex.Hub(url) as hub:
        value = firings_of(hub).variable("value", 1, int)
        assert value.value == 1
        assert await value.update(lambda before: before + 4, replaces=False) == 5
        assert await value.stored() == 5
        with pytest.raises(telex.BadName):
            firings_of(hub).variable("a b", 1, int)


async def test_a_cancelled_trigger_fires_no_more_and_its_function_is_gone(url: str) -> None:
    called: list[int] = []
    async with telex.Hub(url) as hub:
        trigger = hub.every("10ms", name="tick")

        @trigger
        def tick(firing: telex.Firing) -> None:
            called.append(firing.number)

        await until(lambda: called)
        trigger.cancel()
        assert trigger.ended
        await until(lambda: not hub.statistics().handlers)
        assert hub.triggers() == ()
