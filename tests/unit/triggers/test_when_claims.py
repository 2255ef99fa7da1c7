"""Conditions on a file that programs share: each firing is claimed once, for every key."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

import telex
from telex.hub import scheduler_of
from telex.triggers.admin import pause_trigger, resume_trigger
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.records import BY_KEY, KEY_KEPT_SECONDS
from tests.support.internals import caught_up, claimant_of, records_of
from tests.support.loops import until
from tests.support.pretend import PretendEngine, Server
from tests.unit.triggers.parts import expiry, kept, programs, watched

pytestmark = pytest.mark.slow


async def test_once_fires_once_in_all_and_for_ever(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("count", 0) >= 10, topic="full")

    async with programs(url, 3, declare) as hubs, AsyncExitStack() as stack:
        inboxes = [await stack.enter_async_context(hub.topic("full").subscribe()) for hub in hubs]
        await asyncio.gather(*(hub.variable("count", 0).add(1) for hub in hubs for _ in range(5)))
        for inbox in inboxes:  # in each of them the topic closes after it
            async with asyncio.timeout(20):
                assert len([message async for message in inbox]) == 1
    async with programs(url, 1, declare) as (hub,):
        async with asyncio.timeout(20):
            async with hub.topic("full").subscribe(start="earliest") as inbox:
                assert len([message async for message in inbox]) == 1
        await hub.variable("count", 0).set(0)
        await hub.variable("count", 0).set(50)
        await caught_up(hub)
        assert len(await kept(hub, "full")) == 1


async def test_a_reader_of_an_ending_topic_reads_to_the_end(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("count", 0) >= 10, topic="full")

    async with telex.Hub(url) as hub:
        for number in range(20):
            await hub.topic("full").publish(number)
    async with programs(url, 2, declare) as (hub, other), asyncio.timeout(20):
        full = hub.topic("full")
        history = full.history(limit=10)
        assert (await anext(history)).content == 0
        async with full.subscribe(start="earliest") as inbox, full.subscribe() as end:
            assert (await inbox.receive()).content == 0
            late = full.subscribe(start=3)
            await other.variable("count", 0).set(10)
            assert len([message async for message in end]) == 1  # from here on the topic has ended in this process
            assert [message.content async for message in history] == list(range(1, 10))
            assert len([message async for message in inbox]) == 20
            async with late:
                assert len([message async for message in late]) == 3
            assert len([message async for message in full.history()]) == 21
            with pytest.raises(telex.Closed, match="creates it again"):
                await full.publish("more")
    with pytest.raises(telex.Closed):
        await anext(full.history())


async def test_each_rise_is_fired_once_also_those_that_nobody_watched(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)

    async with programs(url, 3, declare) as hubs, hubs[1].topic("full").subscribe() as full:
        for value in (10, 0, 20, 30, 5, 10):
            await hubs[0].variable("count", 0).set(value)
        for _ in range(3):
            await full.receive(timeout=20)
    async with programs(url, 1, lambda hub: hub.variable("count", 0)) as (hub,):
        for value in (0, 11, 12, 0):  # it becomes true while nobody watches
            await hub.variable("count", 0).set(value)
    async with programs(url, 2, declare) as hubs, hubs[0].topic("full").subscribe(start="earliest") as full:
        numbers = [msgspec.convert((await full.receive(timeout=20)).content, telex.Firing).number for _ in range(4)]
        for hub in hubs:
            await caught_up(hub)
        assert numbers == [1, 2, 3, 4]
        assert len(await kept(hubs[0], "full")) == 4


async def test_a_condition_that_is_true_when_first_declared_fires(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)

    async with programs(url, 1, lambda hub: hub.variable("count", 0)) as (hub,):
        await hub.variable("count", 0).set(10)
    for _ in range(2):
        async with programs(url, 2, declare) as hubs, hubs[0].topic("full").subscribe(start="earliest") as full:
            await full.receive(timeout=20)
            for hub in hubs:
                await caught_up(hub)
            assert len(await kept(hubs[0], "full")) == 1


async def test_a_condition_that_was_true_all_the_time_does_not_fire_again(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.retain("count", messages=1)  # so that little is known of the time before
        hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)

    for value in (10, 11, 12):
        async with programs(url, 2, declare) as hubs:
            await hubs[0].variable("count", 0).set(value)
            async with hubs[0].topic("full").subscribe(start="earliest") as full:
                await full.receive(timeout=20)
            for hub in hubs:
                await caught_up(hub)
            assert len(await kept(hubs[0], "full")) == 1


async def test_a_condition_is_paused_for_all(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)

    soon = {"pause_check_seconds": 0.01}
    async with programs(url, 2, declare, **soon) as hubs, hubs[0].topic("full").subscribe() as full:
        for hub in hubs:
            await caught_up(hub)
        assert await pause_trigger(scheduler_of(hubs[0]), "full")
        assert hubs[0].triggers()[0].paused
        await hubs[1].variable("count", 0).set(10)
        for hub in hubs:
            await watched(hub, "full", 10)
        await hubs[1].variable("count", 0).set(0)
        for hub in hubs:
            await watched(hub, "full", 0)
            await caught_up(hub)
        assert all(hub.triggers()[0].paused for hub in hubs)
        assert await resume_trigger(scheduler_of(hubs[1]), "full")
        assert not hubs[1].triggers()[0].paused
        async with asyncio.timeout(20):
            await until(lambda: not (hubs[0].triggers()[0].paused))  # nothing tells of it
        await hubs[0].variable("count", 0).set(20)
        assert msgspec.convert((await full.receive(timeout=20)).content, telex.Firing).number == 1
        assert len(await kept(hubs[0], "full")) == 1


async def test_a_function_that_is_true_in_all_fires_in_one(url: str) -> None:
    answers: list[bool] = []
    true, looked = False, asyncio.Event()

    def ready() -> bool:
        answers.append(true)
        if answers[-30:] == [true] * 30:
            looked.set()  # all of them have looked, several times
        return true

    def declare(hub: telex.Hub) -> None:
        hub.when(ready, every="20ms", topic="ready", rising=True, run_in="loop")

    async with programs(url, 3, declare) as hubs, hubs[0].topic("ready").subscribe() as inbox:
        for number in (1, 2):
            for true in (True, False):
                looked.clear()
                if true:
                    assert msgspec.convert((await inbox.receive(timeout=20)).content, telex.Firing).number == number
                async with asyncio.timeout(20):
                    await looked.wait()
        for hub in hubs:
            await caught_up(hub)
        assert len(await kept(hubs[0], "ready")) == 2


async def test_a_function_that_is_true_in_another_process_ends_the_trigger(url: str) -> None:
    answers = iter((False, True, False))
    listening = asyncio.Event()  # who subscribes when it has ended waits for what may be published anew

    def declare(hub: telex.Hub) -> None:
        answer = next(answers)  # of the function, in each process another one
        hub.when(lambda: listening.is_set() and answer, every="20ms", topic="ready", run_in="loop")

    async with AsyncExitStack() as stack:
        hubs = await stack.enter_async_context(programs(url, 3, declare))
        subscriptions = [hub.topic("ready").subscribe(start="earliest") for hub in hubs]
        inboxes = [await stack.enter_async_context(each) for each in subscriptions]
        listening.set()
        for inbox in inboxes:
            async with asyncio.timeout(20):
                assert len([message async for message in inbox]) == 1
    answers = iter((False,))
    async with programs(url, 1, declare) as (hub,):
        await caught_up(hub)
        assert [(trigger.ended, trigger.fired) for trigger in hub.triggers()] == [(True, 1)]


async def test_a_firing_for_a_key_long_ago_is_not_repeated(url: str) -> None:
    ahead = 0.0

    @asynccontextmanager
    async def program() -> AsyncIterator[telex.Hub]:
        hub = telex.Hub(url, clock=lambda: time.time() + ahead)
        rate = hub.rate("logins", per="1h", by=lambda message: message.content)
        hub.when(rate >= 2, topic="alarms", rising=True)
        async with hub, hub.topic("alarms").subscribe() as alarms:
            yield hub
            assert msgspec.convert((await alarms.receive(timeout=20)).content, telex.Firing).number

    async with program() as hub:
        for _ in range(2):
            await hub.topic("logins").publish("eve")
    ahead = KEY_KEPT_SECONDS + 3600
    async with telex.Hub(url) as other:
        records = records_of(other)
        assert records is not None
        (name,) = await records.keys(BY_KEY)
        record = await records.get(BY_KEY, name)
        assert record is not None
        expires = await expiry(other, BY_KEY, name)
        assert expires == msgspec.json.decode(record.value, type=float) + KEY_KEPT_SECONDS
        assert await records.put(BY_KEY, name, None, record.revision)  # as is done when it has expired
    async with program() as hub:
        for _ in range(2):
            await hub.topic("logins").publish("bob")
    async with telex.Hub(url) as other:
        assert [(firing.key, firing.number) for firing in await kept(other, "alarms")] == [("eve", 1), ("bob", 2)]


async def test_a_key_that_is_no_text_stops_no_other(url: str, caplog: pytest.LogCaptureFixture) -> None:
    def declare(hub: telex.Hub) -> None:
        rate = hub.rate("m", per="1h", by=lambda message: "a\ud800b" if message.content == 1 else message.content)
        hub.when(rate >= 1, topic="alarms", rising=True)

    async with programs(url, 1, declare) as (hub,), hub.topic("alarms").subscribe() as alarms:
        for number in range(3):
            await hub.topic("m").publish(number)
        keys = [msgspec.convert((await alarms.receive(timeout=20)).content, telex.Firing).key for _ in range(2)]
        assert keys == ["0", "2"]
    assert "trigger alarms does not publish its firing" in caplog.text


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


@pytest.mark.slow
async def test_a_function_that_was_true_when_its_program_ended(url: str) -> None:
    answers: list[bool] = [True]

    def ready() -> bool:
        return answers[0] if len(answers) == 1 else answers.pop(0)

    def declare(hub: telex.Hub) -> None:
        hub.when(ready, every="20ms", topic="ready", rising=True, run_in="loop")

    for number, following in ((1, [True]), (2, [False, True])):
        answers[:] = following
        async with programs(url, 1, declare) as (hub,), hub.topic("ready").subscribe() as inbox:
            assert msgspec.convert((await inbox.receive(timeout=20)).content, telex.Firing).number == number


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
