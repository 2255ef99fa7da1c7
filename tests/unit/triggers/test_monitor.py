"""The messages of a condition, in the order of the engine: programs that read the same find the same instants."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from math import inf
from typing import Any

import msgspec
import pytest

import telex
from telex.engines.sqlite.change_reader import ChangeReader
from telex.hub import runtime_of, scheduler_of
from telex.message import Message, time_of
from telex.testing.clock import BEGIN, VirtualClock
from telex.topics.subscription import enter, leave
from telex.topics.topic import publisher_of
from telex.triggers.conditions.condition import Condition
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.monitor import ConditionMonitor
from telex.triggers.when_trigger import WhenTrigger
from tests.support.internals import caught_up, engine_of, when_state
from tests.support.loops import until
from tests.support.pretend import PretendEngine, PretendStore, Server
from tests.unit.triggers.parts import kept, programs, waiting


@pytest.mark.slow
async def test_programs_of_one_schedule_find_the_same_instants(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One gets each message as it is published, another all at once; their times are in another order."""
    told: dict[Any, list[Fired]] = {}
    monkeypatch.setattr(WhenTrigger, "tell", lambda self, fired: told.setdefault(self.timers, []).extend(fired))

    def declare(hub: telex.Hub) -> None:
        count = hub.variable("count", 0)
        few, many = hub.rate("a:*", per=4) >= 1, hub.rate("b", per=4) >= 2
        hub.when((few & many) | (count >= 7).then(hub.rate("b", per=1) >= 1, within=9), topic="t", rising=True)

    chance, times = random.Random(1), [0.0]
    begun = scheduler_of(telex.Hub(url)).timers.clock() + 1000
    async with programs(url, 1, declare) as (live,):
        await caught_up(live)
        watch = when_state(live, "t").source
        assert isinstance(watch, ConditionMonitor)
        async with telex.Hub(url, clock=lambda: begun + times[0]) as hub, live.topic(">").subscribe() as heard:
            count = hub.variable("count", 0)
            for step in range(80):
                times[0] = step - chance.choice((0, 0, 2, 5))
                what = chance.randrange(4)
                if what == 3:
                    await count.add(chance.choice((5, -5)))
                else:
                    await hub.topic(("a:x", "a:y", "b")[what]).publish(step)
                await heard.receive(timeout=20)
                watch.drain()
        (one,) = told.values()
        assert len(one) > 5
        async with programs(url, 1, declare) as (late,):
            await caught_up(late)
    one, other = told.values()
    assert one == other


@pytest.mark.slow
async def test_a_condition_that_becomes_true_once_fires_once(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.silence("m", longer_than="1h"), topic="t", rising=True)
        hub.when(hub.silence("m", longer_than="1h", by=lambda m: m.content), topic="each", rising=True)

    def declare_another(hub: telex.Hub) -> None:
        hub.when(hub.silence("m", longer_than="2h"), topic="t", rising=True)

    begin = int(time.time())

    async def tell(hub: telex.Hub, name: str, *fired: Fired) -> None:
        when_state(hub, name).tell([Fired(begin + each.instant, each.key, begin + each.since) for each in fired])
        await caught_up(hub)

    async def fired(hub: telex.Hub, name: str) -> list[float]:
        return [firing.scheduled.timestamp() - begin for firing in await kept(hub, name)]

    async with programs(url, 2, declare) as (one, other):
        for hub in (one, other):
            await caught_up(hub)
        for name, key in (("t", None), ("each", "k")):
            await tell(one, name, Fired(10.0, key, 5.0))
            await tell(other, name, Fired(10.5, key, 5.5))  # as another process sees it
            await tell(other, name, Fired(20.0, key, 12.0), Fired(30.0, key, 22.0))
            await tell(one, name, Fired(20.5, key, 12.0), Fired(29.5, key, 22.5), Fired(40.0, key, 30.0))
            await tell(one, name, Fired(50.0, key, inf))  # where it is not known
            assert await fired(one, name) == [10, 20, 30, 40, 50]
        await tell(one, "each", Fired(50.5, "another", 1.0))
        assert len(await fired(one, "each")) == 6
    async with programs(url, 1, declare_another) as (hub,):
        await caught_up(hub)
        await tell(hub, "t", Fired(60.0, None, 1.0))  # what it fired for before was something else
        await tell(hub, "t", Fired(61.0, None, 1.0))
        assert await fired(hub, "t") == [10, 20, 30, 40, 50, 60]


def test_when_it_was_rung_is_seen_in_no_instant(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.silence("m", longer_than=5), topic="quiet", rising=True)
    begin = BEGIN.timestamp()

    async def main() -> None:
        async with hub, hub.topic("quiet").subscribe() as quiet:
            watch = when_state(hub, "quiet").source
            assert isinstance(watch, ConditionMonitor)
            clock.advance(7)  # the machine slept
            await asyncio.sleep(0.1)
            message: Message[Any] = Message(None, "m", 1, 1, begin + 6)  # it was on its way meanwhile
            watch.take((message,))
            watch.due(begin + 12)
            fired: Sequence[Message[Any]] = quiet.receive_many_nowait()
            assert [each.content.scheduled.timestamp() - begin for each in fired] == [5, 11]

    clock.run(main())


def test_gathered_messages_come_in_the_order_of_publishing(clock: VirtualClock) -> None:
    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            topics = runtime_of(hub).topics
            gathered = topics.gather(["a", "b:*"])
            inbox = gathered.subscribe()
            enter(inbox)
            expected = []
            for number in range(20):
                for name in ("a", "b:x", "c", "b:y")[number % 3 :]:
                    hub.topic(name).publish_nowait(number)
                    expected += [] if name == "c" else [(name, number)]
                await hub.remove("a")  # what is made anew is of it again
                topics.disperse(topics.gather(["a", "b:*"]))  # it is still read
            assert [(message.topic, message.content) for message in inbox.receive_many_nowait()] == expected
            before = hub.statistics().patterns
            leave(inbox)
            topics.disperse(gathered)
            assert hub.statistics().patterns == before - 1
            assert not publisher_of(hub.topic("b:x")).feeds

    clock.run(main())


def test_sources_of_one_pattern_are_told_in_the_order_in_which_they_stand(clock: VirtualClock) -> None:
    hub, expected = telex.Hub(clock=clock), []
    for number in range(20):  # functions lie where they will
        functions = [lambda message, key=key: key for key in range(8)]
        condition: Condition = hub.rate("m", per=1, by=functions[0]) >= 1
        for function in functions[1:]:
            condition = condition.then(hub.rate("m", per=1, by=function) >= 1, within=1)
        hub.when(condition, topic=f"t:{number}")
        expected.append(functions)

    async def main() -> None:
        async with hub:
            watches = [when_state(hub, f"t:{number}").source for number in range(20)]
            assert [
                [source.by for _, source in watch.routes] for watch in watches if isinstance(watch, ConditionMonitor)
            ] == expected

    clock.run(main())


@pytest.mark.slow
async def test_a_message_that_is_kept_and_comes_as_well_counts_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published while a process reads what is kept is read, and comes to it when it hears of it."""
    unheard, noticed, heeds = list[tuple[ChangeReader, int]](), ChangeReader.noticed, asyncio.Event()

    def once_it_heeds(tail: ChangeReader, pos: int) -> None:
        if heeds.is_set():
            noticed(tail, pos)
        else:
            unheard.append((tail, pos))

    monkeypatch.setattr(ChangeReader, "noticed", once_it_heeds)
    async with telex.Hub(url) as other:
        await other.topic("m:a").publish(1)
        hub = telex.Hub(url)
        for topic, bound in (("three", 3), ("four", 4), ("five", 5)):
            hub.when(hub.rate("m:*", per="1h") >= bound, topic=topic)
        store = engine_of(hub).store
        assert store is not None
        read = store.read_pattern

        async def late(topics: Sequence[str], count: int) -> Sequence[telex.Message[Any]]:
            while other.topic("m:a").statistics().published < 3:
                await other.topic("m:a").publish(0)
            return await read(topics, count)

        monkeypatch.setattr(store, "read_pattern", late)
        async with hub, hub.topic("m:a").subscribe() as heard:
            await caught_up(hub)
            monkeypatch.undo()
            await until(lambda: not (len({id(tail) for tail, _ in unheard}) < 2))  # nothing tells of it
            heeds.set()
            for tail, pos in unheard:
                noticed(tail, pos)
            await other.topic("m:a").publish(4)
            while (await heard.receive(timeout=20)).content != 4:
                pass
            await caught_up(hub)
            async with hub.topic("four").subscribe(start="earliest") as fired:
                await fired.receive(timeout=20)
            assert [len(await kept(hub, topic)) for topic in ("three", "four", "five")] == [1, 1, 0]


def test_messages_before_a_change_are_looked_at_before(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    armed = hub.variable("armed", False)
    hub.when((hub.rate("doors", per=10) >= 1) & (armed == True), topic="burglar", rising=True)  # noqa: E712
    hub.when(hub.silence("doors", longer_than=5), topic="quiet")

    async def main() -> None:
        async with hub, hub.topic("burglar").subscribe() as burglar, hub.topic("quiet").subscribe() as quiet:
            hub.topic("doors").publish_nowait("open")  # nobody has read it yet when the variable changes
            armed.set_nowait(True)
            assert waiting(burglar) == [0]
            await asyncio.sleep(4)
            clock.advance(3)  # the machine sleeps, then a message comes before the timer is looked at
            hub.topic("doors").publish_nowait("open")
            await asyncio.sleep(6)
            assert waiting(quiet) == [5]  # it was silent at that time

    clock.run(main())


def test_a_condition_that_raises_is_counted_and_the_others_go_on(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    hub = telex.Hub(clock=clock)
    free: telex.Variable[Any] = hub.variable("free", 0)
    hub.when(free > 10, topic="high", rising=True)
    hub.when(hub.rate("m", per=10, by=lambda m: m.content["user"]) >= 2, topic="rate", rising=True)

    async def main() -> None:
        async with hub, hub.topic("high").subscribe() as high, hub.topic("rate").subscribe() as rate:
            nothing: telex.Variable[Any] = hub.variable("nothing", None)
            with pytest.raises(telex.BadOption, match="evaluating it raises"):
                hub.when(nothing > 3, topic="none")
            await free.set(11)
            contents: list[object] = [{"user": "ann"}, {}, {"user": "ann"}, None]
            for content in contents:
                await hub.topic("m").publish(content)
            await asyncio.sleep(1)
            assert (high.waiting, rate.waiting) == (1, 1)
            assert [trigger.failed for trigger in hub.triggers()] == [0, 2]

    with caplog.at_level(logging.ERROR, "telex.triggers"):
        clock.run(main())
    assert "raised for 2 messages of m" in caplog.text


def test_of_many_keys_the_oldest_is_forgotten(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.rate("m", per=10, by=lambda m: m.content) >= 2, topic="twice", rising=True, keys=100)

    async def main() -> None:
        async with hub, hub.topic("twice").subscribe() as twice:
            for n in range(150):
                await hub.topic("m").publish(n)
            for n in (0, 149):  # of 0 nothing is known any more
                await hub.topic("m").publish(n)
            await asyncio.sleep(1)
            assert [message.content.key for message in twice.receive_many_nowait()] == ["149"]
            assert hub.triggers()[0].forgotten == 51

    clock.run(main())


def test_a_topic_that_is_removed_and_made_anew_goes_on(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.rate("m", per="1h") >= 3, topic="three", rising=True)

    async def main() -> None:
        async with hub, hub.topic("three").subscribe() as three:
            for _ in range(3):
                await hub.topic("m").publish(None)
                await asyncio.sleep(1)
                await hub.remove("m")
                await asyncio.sleep(1)
            assert three.waiting == 1

    clock.run(main())


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


@pytest.mark.parametrize("seed", [None, 3])
async def test_a_condition_knows_the_time_from_which_on_it_has_all_messages(seed: int | None) -> None:
    server = Server(seed)  # with a seed, the first message of a topic is not number 1

    async def known() -> float:
        hub = telex.Hub(PretendEngine(server))
        hub.when(hub.rate("a:*", per="1h") >= 90, topic="t", rising=True)
        async with hub:
            await caught_up(hub)
            watch = when_state(hub, "t").source
            assert isinstance(watch, ConditionMonitor)
            return watch.known

    declared = await known()
    async with telex.Hub(PretendEngine(server)) as hub:
        sent = [await hub.topic(f"a:{number % 2}").publish(number) for number in range(6)]
    assert await known() == declared
    async with telex.Hub(PretendEngine(server)) as hub:
        hub.retain("a:1", messages=1)
    assert await known() == time_of(sent[5])


@pytest.mark.slow
async def test_a_rate_is_that_of_all_who_publish(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.rate("failed:*", per="1h") >= 5, topic="attack", rising=True)
        hub.when(hub.rate("failed:*", per="1h", by=lambda m: m.content) >= 3, topic="guess", rising=True)

    async with programs(url, 2, declare) as hubs:
        for number in range(4):
            await hubs[number % 2].topic(f"failed:{number}").publish("ann" if number < 2 else "bob")
    async with programs(url, 2, declare) as hubs, AsyncExitStack() as stack:  # the fifth comes after a restart
        attack = await stack.enter_async_context(hubs[0].topic("attack").subscribe())
        guess = await stack.enter_async_context(hubs[1].topic("guess").subscribe())
        await hubs[1].topic("failed:9").publish("ann")
        assert msgspec.convert((await attack.receive(timeout=20)).content, telex.Firing).number == 1
        assert msgspec.convert((await guess.receive(timeout=20)).content, telex.Firing).key == "ann"
        await hubs[1].topic("failed:9").publish("bob")
        assert msgspec.convert((await guess.receive(timeout=20)).content, telex.Firing).key == "bob"
        for hub in hubs:
            await caught_up(hub)
        assert (len(await kept(hubs[0], "attack")), len(await kept(hubs[0], "guess"))) == (1, 2)
