"""The remains of triggers that have ended: nothing that is called, waits or is counted."""

import asyncio
import sqlite3

import pytest

import telex
from telex.testing.clock import VirtualClock
from tests.support.internals import (
    bounded,
    chores_of,
    client_of,
    consumers_of,
    engine_of,
    firings_of,
    groups_of,
    runner_of,
    set_bounds,
)
from tests.support.loops import until


def test_the_function_of_a_cancelled_one_is_called_no_more(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    called: list[tuple[str, int]] = []

    async def main() -> None:
        async with hub:

            @hub.every("1s", name="tick", run_in="loop")
            def old(firing: telex.Firing) -> None:
                called.append(("old", firing.number))

            await asyncio.sleep(1.5)
            hub.trigger("tick").cancel()

            @hub.every("2s", name="tick", run_in="loop")
            def new(firing: telex.Firing) -> None:
                called.append(("new", firing.number))

            await asyncio.sleep(2.5)
            (handler,) = hub.statistics().handlers
            assert handler.handled == 1
            assert len(hub.declarations) == 1

    clock.run(main())
    assert called == [("old", 1), ("new", 1)]


def test_one_that_is_cancelled_before_the_hub_is_open_has_no_function(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    @hub.every("1s", run_in="loop")
    def never() -> None:
        raise AssertionError

    hub.trigger("never").cancel()

    async def main() -> None:
        async with hub:
            await asyncio.sleep(5)
            assert (hub.triggers(), hub.statistics().handlers) == ((), ())

    clock.run(main())


def test_an_iteration_over_the_topic_of_a_cancelled_trigger_ends(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    trigger, other = hub.after("5s", topic="t"), hub.every("4s", topic="t", name="other")

    async def main() -> list[str]:
        async with hub, hub.topic("t").subscribe() as firings:
            asyncio.get_running_loop().call_later(4.5, trigger.cancel)  # the other one publishes there still
            asyncio.get_running_loop().call_later(9.0, other.cancel)
            return [message.content.trigger async for message in firings]

    assert clock.run(main()) == ["other", "other"]


@pytest.mark.slow
def test_a_thousand_that_have_ended_leave_nothing(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    called: list[str] = []

    async def main() -> None:
        async with hub:
            before = len(asyncio.all_tasks())
            for number in range(1000):

                @hub.after("1s", name=f"once-{number}")
                async def remind(firing: telex.Firing) -> None:
                    await asyncio.sleep(1)
                    called.append(firing.trigger)

                @hub.every("1h", name=f"cancelled-{number}", run_in="loop")
                def look() -> None: ...

                hub.trigger(f"cancelled-{number}").cancel()

            await asyncio.sleep(3)
            assert len(asyncio.all_tasks()) == before
            assert (hub.statistics().handlers, hub.declarations, runner_of(hub).handlers) == ((), [], [])
            assert await hub.topics() == []

    clock.run(main())
    assert len(set(called)) == 1000


@pytest.mark.slow
async def test_on_a_file_a_function_is_called_for_the_last_firing_and_no_more_is_left_of_it(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done, held = asyncio.Event(), asyncio.Event()
    async with telex.Hub(url) as hub:
        set_bounds(hub, settled_check_seconds=0.01)

        @hub.after("1ms")
        async def once() -> None:
            held.set()
            await done.wait()

        await held.wait()
        consumers = consumers_of(hub)
        chores = set(chores_of(hub))
        assert len(consumers) == 1
        done.set()
        await asyncio.wait(chores)
        assert (consumers, hub.declarations) == ([], [])
        assert [info.lag for info in await hub.groups.list()] == [0]

        groups = groups_of(hub)
        failing = groups.groups

        async def unreadable() -> None:
            monkeypatch.setattr(groups, "groups", failing)
            raise telex.EngineFailed("reading", "the disk is gone")

        monkeypatch.setattr(groups, "groups", unreadable)
        called = asyncio.Event()

        @hub.after("1ms")
        async def another() -> None:
            called.set()

        await called.wait()
        while consumers:
            await asyncio.wait(set(chores_of(hub)))
        assert hub.declarations == []
        assert "cannot check whether the firings of ended triggers are settled" in caplog.text


@pytest.mark.slow
async def test_on_a_file_the_function_of_a_cancelled_one_is_called_no_more(url: str) -> None:
    called = asyncio.Queue[str]()
    async with telex.Hub(url) as hub:

        def old() -> None:
            called.put_nowait("old")

        def new() -> None:
            called.put_nowait("new")

        for function in (old, new):
            function.__qualname__ = "look"  # the same group
        hub.every("10ms", name="tick", run_in="loop")(old)
        assert await called.get() == "old"
        hub.trigger("tick").cancel()
        (leaving,) = chores_of(hub)
        await asyncio.wait((leaving,))
        while not called.empty():
            called.get_nowait()
        hub.every("10ms", name="tick", run_in="loop")(new)
        assert {await called.get() for _ in range(5)} == {"new"}
        assert len(consumers_of(hub)) == len(hub.declarations) == 1


@pytest.mark.slow
async def test_on_a_file_the_last_firing_comes_again_when_who_has_it_goes(
    url: str,
) -> None:
    called = asyncio.Queue[telex.Hub]()

    def declared() -> telex.Hub:
        hub = telex.Hub(url, close_timeout=0)
        set_bounds(hub, settled_check_seconds=0.001)

        @hub.after("1ms")
        async def once(hub: telex.Hub) -> None:
            called.put_nowait(hub)
            await asyncio.Event().wait()

        return hub

    async with declared() as one, declared() as other:
        has = await called.get()
        left = other if has is one else one
        await until(lambda: firings_of(left).retiring.settling)  # nothing tells of it
        await asyncio.wait(chores_of(left), timeout=0.05)  # it has looked many times whether it is settled
        assert consumers_of(left)
        await has.aclose()
        assert await called.get() is left


@pytest.mark.slow
async def test_on_a_file_a_call_that_runs_when_its_trigger_is_cancelled_is_the_last(url: str) -> None:
    called, done = asyncio.Queue[int](), asyncio.Event()
    async with telex.Hub(url) as hub:

        @hub.every("1h")
        async def look(firing: telex.Firing) -> None:
            called.put_nowait(firing.number)
            await done.wait()

        await hub.trigger("look").fire()
        assert await called.get() == 1
        hub.trigger("look").cancel()
        (leaving,) = chores_of(hub)
        await asyncio.wait((leaving,), timeout=0.05)
        done.set()
        await asyncio.wait((leaving,))
        assert [(info.lag, info.leased) for info in await hub.groups.list()] == [(0, 0)]
        assert called.empty()


@pytest.mark.slow
async def test_on_a_file_one_may_be_cancelled_twice(url: str) -> None:
    async with telex.Hub(url) as hub:

        @hub.every("1h", run_in="loop")
        def look() -> None: ...

        trigger = hub.trigger("look")
        trigger.cancel()
        trigger.cancel()
        leaving = set(chores_of(hub))
        await asyncio.wait(leaving)
        assert [chore.exception() for chore in leaving] == [None, None]
        assert consumers_of(hub) == []


@pytest.mark.slow
async def test_on_a_file_who_reads_a_topic_that_has_a_function_too_comes_to_the_end(
    url: str,
) -> None:
    called = asyncio.Queue[str]()
    async with telex.Hub(url) as hub, hub.topic("t").subscribe() as firings, asyncio.timeout(20):
        set_bounds(hub, settled_check_seconds=0.01)
        for name in ("one", "other"):
            hub.after("50ms", topic="t", name=name, run_in="loop")(called.put_nowait)
        assert len([message async for message in firings]) == 2
        for _ in range(3):  # each for its own, and the last one for that before it
            await called.get()
        await until(lambda: not (consumers_of(hub)))  # nothing tells of it
        assert hub.declarations == []


# -- what topics of a file keep for triggers that have ended


async def rest(hub: telex.Hub) -> None:
    """Until what has ended is left, and the groups of it rest."""
    retiring = firings_of(hub).retiring
    async with asyncio.timeout(10):
        await until(lambda: not (retiring.settling or retiring.left))  # nothing tells of it


async def publish(hub: telex.Hub, count: int) -> None:
    await asyncio.gather(*[hub.topic("t").publish(number) for number in range(count)])


async def is_swept(url: str) -> bool:
    """Whether the topic keeps no more than it is to. Another hub looks, in which nothing is declared."""
    async with telex.Hub(bounded(url, young_seconds=0.0)) as hub:
        hub.retain("t", messages=10)
        await publish(hub, 600)
        runtime = client_of(engine_of(hub))

        def are_few(connection: sqlite3.Connection) -> bool:
            return bool(connection.execute("SELECT count(*) <= 300 FROM telex_messages").fetchone()[0])

        try:
            await until(lambda: runtime.read(are_few), 10)
        except TimeoutError:
            return False
        return True


def hub_that_looks_soon(url: str) -> telex.Hub:
    hub = telex.Hub(url)
    set_bounds(hub, settled_check_seconds=0.001)
    return hub


@pytest.mark.slow
@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("how", ["every", "when", "backlog", "busy", "after", "declared again"])
async def test_topics_keep_nothing_for_triggers_that_have_ended(url: str, how: str, closes: bool) -> None:
    called, done, heat = asyncio.Event(), asyncio.Event(), 0

    async def look() -> None:
        called.set()
        if how in ("backlog", "busy"):
            await done.wait()

    def declare(hub: telex.Hub) -> telex.Trigger:
        once = how in ("after", "declared again")
        condition = hub.variable("heat", heat) > 30
        if how == "when":
            trigger: telex.Trigger = hub.when(condition, name="look", topic="t")
        else:
            trigger = (hub.after("1ms", name="look", topic="t")) if once else hub.every("1h", name="look", topic="t")
        trigger(look)
        return trigger

    async def end(hub: telex.Hub, trigger: telex.Trigger) -> None:
        if how == "when":
            await hub.variable("heat", heat).set(31)
        elif not trigger.ended:
            await trigger.fire()
        await called.wait()
        if how == "backlog":
            await publish(hub, 50)
        trigger.cancel()
        done.set()
        if not closes:
            await rest(hub)

    async with hub_that_looks_soon(url) as hub:
        await end(hub, declare(hub))
    if how == "declared again":
        async with hub_that_looks_soon(url) as hub:
            await end(hub, declare(hub))
    assert await is_swept(url)


@pytest.mark.slow
async def test_a_program_that_did_not_cancel_goes_on_and_one_that_declares_again_gets_nothing_twice(url: str) -> None:
    called = asyncio.Queue[object]()

    def declared() -> telex.Hub:
        hub = hub_that_looks_soon(url)

        @hub.every("1h", name="look", topic="t", run_in="loop")
        def look(content: object) -> None:
            called.put_nowait(content)

        return hub

    async with declared() as other:
        async with declared() as hub:
            hub.trigger("look").cancel()
            await rest(hub)
            for number in range(3):
                await hub.topic("t").publish(number)
                assert await called.get() == number
            hub.retain("t", messages=10)
            await publish(hub, 600)
            assert [await called.get() for _ in range(600)] == list(range(600))
        other.trigger("look").cancel()
        await rest(other)
        await other.topic("t").publish("meanwhile")
    async with declared() as again:
        assert await called.get() == "meanwhile"
        await again.topic("t").publish("last")
        assert await called.get() == "last"
        assert called.empty()


@pytest.mark.slow
async def test_one_that_has_ended_is_not_called_again_after_a_restart(url: str) -> None:
    called = asyncio.Queue[object]()
    for _ in range(3):
        async with hub_that_looks_soon(url) as hub:

            @hub.after("1ms", name="look", topic="t", run_in="loop")
            def look(firing: telex.Firing) -> None:
                called.put_nowait(firing.number)

            await until(lambda: hub.trigger("look").ended)  # nothing tells of it
            await rest(hub)
    assert called.get_nowait() == 1
    assert called.empty()
