"""Triggers of conditions, in memory: once, rising, with hysteresis, with the value that made them."""

import asyncio

import pytest

import telex
from telex.testing.clock import BEGIN, VirtualClock
from telex.triggers.variable import value_of
from tests.unit.triggers.parts import after, waiting


def test_once_fires_the_moment_it_becomes_true_and_closes(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    count = hub.variable("signups", 0)
    hub.when(count >= 1000, topic="milestones")

    async def main() -> None:
        async with hub, hub.topic("milestones").subscribe() as milestones:
            for _ in range(999):
                await count.add(1)
            await asyncio.sleep(60)
            assert milestones.statistics().waiting == 0
            count.add_nowait(1)
            assert milestones.waiting == 1  # at once, not at the next look
            await count.add(1)
            assert [message.content.scheduled async for message in milestones] == [after(60)]
            assert [trigger.ended for trigger in hub.triggers()] == [True]
            await count.set(0)
            await count.set(2000)
            assert hub.triggers()[0].fired == 1

    clock.run(main())


def test_a_condition_that_is_true_already_fires_when_the_hub_opens(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    count = hub.variable("signups", 5)
    fired = []

    @hub.when(count >= 5, run_in="loop")
    def full(firing: telex.Firing) -> None:
        fired.append(firing.scheduled)

    async def main() -> None:
        async with hub:
            late: list[telex.Firing] = []
            with pytest.raises(telex.BadOption, match="name="):
                hub.when(count >= 3, run_in="loop")(lambda firing: late.append(firing))
            hub.when(count >= 3, name="late", run_in="loop")(lambda firing: late.append(firing))
            await asyncio.sleep(1)
            assert len(late) == 1

    clock.run(main())
    assert fired == [BEGIN]


def test_rising_and_hysteresis(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    heat = hub.variable("heat", 0.0)
    hub.when(heat > 30, topic="hot", rising=True)
    hub.when(heat > 30, topic="clearly", rising=True, hysteresis=5)

    async def main() -> None:
        async with hub, hub.topic("hot").subscribe() as hot, hub.topic("clearly").subscribe() as clearly:
            for value in (31.0, 29.0, 32.0, 25.1, 33.0, 25.0, 40.0, 41.0):
                await asyncio.sleep(1)
                await heat.set(value)
            assert waiting(hot) == [1, 3, 5, 7]
            assert waiting(clearly) == [1, 7]

    clock.run(main())


def test_several_rises_at_one_instant_are_all_told(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    light = hub.variable("light", False)
    hub.when(light == True, topic="on", rising=True)  # noqa: E712  # a condition, not a test

    async def main() -> None:
        async with hub, hub.topic("on").subscribe() as on:
            for value in (True, False, True, False, True):
                light.set_nowait(value)
            assert [message.content.number for message in on.receive_many_nowait()] == [1, 2, 3]

    clock.run(main())


def test_by_hand(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    count = hub.variable("count", 0)
    trigger = hub.when((count >= 1).debounce(5), topic="up", rising=True)

    async def main() -> None:
        async with hub, hub.topic("up").subscribe() as up:
            trigger.pause()
            await count.set(1)
            await asyncio.sleep(10)
            await trigger.fire()
            trigger.resume()
            await count.set(0)
            await count.set(1)
            await asyncio.sleep(10)
            trigger.cancel()
            await count.set(0)
            await count.set(1)
            await asyncio.sleep(10)
            assert waiting(up) == [10, 15]
            assert hub.triggers() == ()
            assert not value_of(count).listeners

    clock.run(main())


def test_once_is_once_also_within_a_batch(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.rate("m", per=1) >= 1, topic="first")
    hub.when(hub.rate("m", per=1) >= 1, topic="each", rising=True)

    async def main() -> None:
        async with hub, hub.topic("first").subscribe() as first, hub.topic("each").subscribe() as each:
            for _ in range(3):
                hub.topic("m").publish_nowait(None)
                clock.advance(2)
            assert len([message async for message in first]) == 1
            assert waiting(each) == [0, 2, 4]

    clock.run(main())


def test_a_firing_has_the_value_that_made_it(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    heat, state = hub.variable("heat", 20.0), hub.variable("state", {"door": "shut"})
    logins = hub.rate("logins:*", per="1m")
    by_user = hub.rate("logins:*", per="1m", by=lambda message: message.content)
    several = (heat > 30) & (logins >= 2)
    for name, condition in {
        "hot": heat > 30,
        "cold": ~(heat > 10),
        "open": state == {"door": "open"},
        "many": logins >= 3,
        "few": logins < 3,
        "each": by_user >= 2,
        "both": several,
        "held": (heat > 30).debounce("5s"),
        "twice": (heat > 30).times(2),
        "still": hub.silence("logins:*", longer_than="2m"),
        "first": hub.variable("there", "before") == "before",
    }.items():
        hub.when(condition, topic=name, rising=name != "first")

    async def main() -> dict[str, list[object]]:
        heard: dict[str, list[object]] = {}
        async with hub, hub.topic("*").subscribe(buffer=1000) as firings:
            for value in (31.5, 40.0, 5.0, 33.0):
                await heat.set(value)
                await asyncio.sleep(10)
            await state.set({"door": "open"})
            for user in ("ann", "bob", "ann", "ann"):
                await hub.topic(f"logins:{user}").publish(user)
                await asyncio.sleep(1)
            await asyncio.sleep(300)
            for message in await firings.receive_many(1000):
                if isinstance(message.content, telex.Firing):
                    heard.setdefault(message.topic, []).append(message.content.value)
        return heard

    assert clock.run(main()) == {
        "first": ["before"],
        "few": [0, 2],
        "hot": [31.5, 33.0],
        "held": [31.5, 33.0],
        "cold": [5.0],
        "twice": [33.0],
        "open": [{"door": "open"}],
        "each": [2],
        "many": [3],
        "both": [{"heat": 33.0, "logins:*": 2}],
        "still": [None],
    }


def test_several_that_fire_once_on_one_variable(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    value = hub.variable("value", 0)
    triggers = [hub.when(value >= 1, topic=f"t:{number}") for number in range(4)]

    async def main() -> None:
        async with hub:
            await asyncio.sleep(1)
            await value.set(1)
            assert [trigger.fired for trigger in triggers] == [1, 1, 1, 1]

    clock.run(main())
