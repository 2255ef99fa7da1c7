"""What goes wrong around triggers, and takes nothing with it."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

import telex
from telex.hub import runtime_of, scheduler_of
from telex.testing.clock import VirtualClock
from telex.triggers.trigger import state_of
from tests.support.internals import caught_up, firings_of, set_bounds
from tests.unit.triggers.test_shared import programs, url

__all__ = ["url"]


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


def test_a_trigger_that_fires_again_keeps_its_firings(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    value = hub.variable("value", 0)
    hub.when(value == 1, topic="ones", rising=True)

    async def main() -> None:
        async with hub:
            for number in (1, 0, 1):
                await asyncio.sleep(1)
                await value.set(number)
            assert len([message async for message in hub.topic("ones").history()]) == 2

    clock.run(main())


def test_the_last_firing_waits_for_room(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.after(5, topic="t")

    async def main() -> None:
        async with hub, hub.topic("t").subscribe(buffer=1, overflow="block") as inbox:
            await hub.topic("t").publish("first")
            await asyncio.sleep(6)
            assert [type(message.content) async for message in inbox] == [str, telex.Firing]

    clock.run(main())


def test_a_topic_is_closed_with_the_last_that_publishes_there(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.every(1, topic="t", name="each")
    hub.after(2, topic="t", name="once")

    async def main() -> None:
        async with hub, hub.topic("t").subscribe() as inbox:
            await asyncio.sleep(5.5)
            names = [message.content.trigger for message in inbox.receive_many_nowait()]
            assert sorted(names) == ["each"] * 5 + ["once"]

    clock.run(main())


def test_a_function_that_is_refused_leaves_nothing(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    def look(one: int, other: int) -> None: ...

    with pytest.raises(telex.BadHandler):
        hub.every(1)(look)
    called = []

    def mended() -> None:
        called.append(1)

    mended.__qualname__ = "look"
    hub.every(1)(mended)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(1.5)

    clock.run(main())
    assert called == [1]


def test_lengths_that_cannot_be() -> None:
    hub = telex.Hub()
    value = hub.variable("value", 0)
    with pytest.raises(telex.BadOption, match="100 years"):
        hub.after("100000000d", topic="a")
    with pytest.raises(telex.BadOption, match="100 years"):
        hub.every(1e300, topic="b")
    with pytest.raises(telex.BadOption, match="hysteresis"):
        hub.when(value >= 1, hysteresis=float("inf"), topic="c")
    assert hub.triggers() == ()


def test_a_value_that_cannot_be_compared_is_passed_over_by_all_keys(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    value: telex.Variable[Any] = hub.variable("value", 0, object)
    hub.when((hub.rate("m", per="1h", by=lambda m: m.content) >= 1) & (value >= 5), topic="t", rising=True)

    async def main() -> None:
        async with hub, hub.topic("t").subscribe() as inbox:
            for key in "abc":
                await hub.topic("m").publish(key)
            for number in (1, "many", 6):
                await asyncio.sleep(1)
                await value.set(number)
            assert sorted(message.content.key for message in inbox.receive_many_nowait()) == ["a", "b", "c"]
            assert [trigger.failed for trigger in hub.triggers()] == [1]

    clock.run(main())


@pytest.mark.slow
async def test_a_key_that_is_no_name_stops_no_other(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.rate("m", per="1h", by=lambda m: m.content) >= 1, topic="seen", rising=True)

    keys = ["good", "x" * 300, "a\nb", "\0", "", "ü" * 200, "a b", "good too"]
    async with programs(url, 2, declare) as hubs, hubs[1].topic("seen").subscribe() as seen:
        for key in keys:
            await hubs[0].topic("m").publish(key)
        heard = [msgspec.convert((await seen.receive(timeout=20)).content, telex.Firing).key for _ in keys]
        assert sorted(map(str, heard)) == sorted(keys)


def test_a_topic_that_is_published_to_right_after_it_was_removed(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.rate("m", per="1m") >= 4, topic="four", rising=True)

    async def main() -> None:
        async with hub, hub.topic("four").subscribe() as four:
            await hub.topic("m").publish(None)
            await asyncio.sleep(1)
            for _ in range(2):
                await hub.remove("m")
                for _ in range(3):
                    hub.topic("m").publish_nowait(None)
                await asyncio.sleep(120)
            assert four.waiting == 1, "the four that came within a minute; then three in another"

    clock.run(main())


@pytest.mark.slow
async def test_topics_that_are_removed_on_a_file(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.rate("m:*", per="1h") >= 6, topic="six")
        hub.variable("value", 0)

    async with programs(url, 1, lambda hub: None) as (hub,):
        for _ in range(3):
            await hub.topic("m:x").publish(None)
    async with programs(url, 2, declare) as hubs, hubs[0].topic("six").subscribe() as six:
        for hub in hubs:
            await caught_up(hub)
        await hubs[0].remove("m:x")
        for _ in range(3):
            await hubs[0].topic("m:x").publish(None)  # numbered as those before
        await six.receive(timeout=20)
        values = [hub.variable("value", 0) for hub in hubs]
        await values[0].set(1)
        await hubs[0].remove("value")
        async with hubs[1].topic("value").subscribe(overflow="latest", buffer=1, start="earliest") as changes:
            await values[0].set(100)
            async for message in changes:
                if msgspec.convert(message.content, telex.Change[int]).value == 100:
                    break
        assert values[0].value == 100


@pytest.mark.slow
async def test_a_message_that_is_no_change_is_passed_over(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("value", 0) >= 1, topic="one")

    async with programs(url, 2, declare) as hubs, hubs[1].topic("one").subscribe() as one:
        await hubs[0].topic("value").publish("no change at all")
        await hubs[0].variable("value", 0).set(1)
        await one.receive(timeout=20)


@pytest.mark.slow
async def test_a_function_that_was_true_when_its_program_ended(url: str) -> None:
    answers: list[bool] = [True]

    def ready() -> bool:
        return answers[0] if len(answers) == 1 else answers.pop(0)

    def declare(hub: telex.Hub) -> None:
        hub.when(ready, every="20ms", topic="ready", rising=True)

    for number, following in ((1, [True]), (2, [False, True])):
        answers[:] = following
        async with programs(url, 1, declare) as (hub,), hub.topic("ready").subscribe() as inbox:
            assert msgspec.convert((await inbox.receive(timeout=20)).content, telex.Firing).number == number


@pytest.mark.slow
async def test_each_function_of_a_trigger_is_called(url: str) -> None:
    called: dict[str, asyncio.Event] = {"one": asyncio.Event(), "other": asyncio.Event()}

    def declare(hub: telex.Hub) -> None:
        trigger = hub.after("50ms", topic="soon")

        @trigger
        def one() -> None:
            called["one"].set()

        @trigger
        def other() -> None:
            called["other"].set()

    async with programs(url, 2, declare), asyncio.timeout(20):
        await called["one"].wait()
        await called["other"].wait()


@pytest.mark.slow
async def test_a_firing_that_waits_for_other_claims_was_not_missed(url: str) -> None:
    async with telex.Hub(url) as hub:
        set_bounds(hub, claim_batch=1)
        records: Any = firings_of(hub).records
        put, slow = records.put, scheduler_of(hub).timers.clock
        late = [0.0]
        scheduler_of(hub).timers.clock = lambda: slow() + late[0]

        async def slowly(*given: Any) -> bool:
            late[0] += 5.0  # each claim takes five seconds
            return bool(await put(*given))

        triggers = [hub.after("100ms", topic=f"t:{number}") for number in range(5)]
        await caught_up(hub)
        records.put = slowly
        for trigger in triggers:
            scheduler_of(hub).timers.disarm(state_of(trigger))  # it is due here, and not by the time
            state_of(trigger).due(trigger.start + 0.2)
        await caught_up(hub)
        assert [trigger.fired for trigger in triggers] == [1] * 5


async def test_one_that_cannot_be_claimed_does_not_hold_up_those_claimed_with_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with telex.Hub(url) as hub:
        hub.topic("bad", int)  # which no firing is
        triggers = [hub.after("1ms", topic=topic) for topic in ("t:1", "bad", "t:2")]
        async with hub.topic("t:2").subscribe(start="earliest") as firings:
            await firings.receive()
        await caught_up(hub)
        assert [trigger.fired for trigger in triggers] == [1, 0, 1]
        assert triggers[1].ended, "it comes again in this process no more: nothing would be different"
        assert [(told.trigger, told.failed) for told in hub.triggers()] == [("t:1", 0), ("bad", 1), ("t:2", 0)]
    assert caplog.text.count("trigger bad cannot be claimed") == 1


async def test_one_that_cannot_be_claimed_is_tried_again_for_its_next_instant(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with telex.Hub(url) as hub:
        hub.topic("bad", int)
        tick = hub.every("1h", topic="bad", misfire="once")
        await caught_up(hub)
        for times in (1, 2):
            state_of(tick).due(tick.start + 3600 * times)
            await caught_up(hub)
            following = tick.start + 3600 * (times + 1)
            assert (tick.failed, state_of(tick).queue_entry > 0, tick.next) == (times, True, following)
    assert caplog.text.count("trigger bad cannot be claimed") == 2


async def test_many_that_have_missed_much_are_not_one_transaction(url: str) -> None:
    now = time.time()
    ahead = [0.0]
    hub = telex.Hub(url, clock=lambda: now + ahead[0])
    set_bounds(hub, claimed_firings=5)
    triggers = [hub.every("1s", topic=f"t:{number}", misfire="all") for number in range(4)]
    async with hub:
        await caught_up(hub)
        transactions: list[object] = []
        engine = runtime_of(hub).engine
        transaction = engine.transaction
        engine.transaction = lambda: transactions.append(None) or transaction()  # type: ignore[method-assign, func-returns-value]  # counted
        ahead[0] = 3.5
        for trigger in triggers:
            state_of(trigger).due(now + 3.5)
        await caught_up(hub)
        assert [trigger.fired for trigger in triggers] == [3] * 4
        assert len(transactions) == 4
