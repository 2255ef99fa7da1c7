"""Variables and what becomes true: on a virtual clock in memory."""

import asyncio
import logging
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

import telex
from telex.testing.clock import BEGIN, VirtualClock
from telex.topics.subscription import enter
from telex.triggers.variable import value_of


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def seconds_of(messages: tuple[telex.Message[Any], ...]) -> list[float]:
    return [(message.content.scheduled - BEGIN).total_seconds() for message in messages]


def waiting(inbox: telex.Subscription[Any]) -> list[float]:
    return seconds_of(inbox.receive_many_nowait()) if inbox.waiting else []


def test_a_variable_publishes_its_changes(clock: VirtualClock) -> None:
    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            count = hub.variable("signups", 0)
            assert hub.variable("signups", 0) is count
            async with hub.topic("signups").subscribe() as changes:
                assert await count.add(3) == 3
                assert await count.set(3) == 3  # no change
                assert await count.update(lambda value: value * 2) == 6
                assert (count.set_nowait(7), count.add_nowait(1), count.update_nowait(lambda value: -value)) == (
                    7,
                    8,
                    -8,
                )
                heard = [message.content for message in changes.receive_many_nowait()]
            assert [(change.before, change.value) for change in heard] == [(0, 3), (3, 6), (6, 7), (7, 8), (8, -8)]
            assert {change.variable for change in heard} == {"signups"}
            assert [count.value] == [-8]

    clock.run(main())


def test_a_variable_is_held_to_its_type(clock: VirtualClock) -> None:
    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            count = hub.variable("signups", 0)
            with pytest.raises(telex.ContentError, match="int"):
                await count.set("many")  # type: ignore[arg-type]  # the mistake
            assert [count.value] == [0]
            with pytest.raises(telex.BadOption, match="initial value 0"):
                hub.variable("signups", 1)
            for adds in (count.add, count.add_nowait):
                with pytest.raises(telex.BadOption, match="amount '1': adding it to 0 raises"):
                    await adds("1")  # type: ignore[arg-type,misc]  # the mistake
            for updates in (count.update, count.update_nowait):
                with pytest.raises(telex.BadOption, match="function of the value"):
                    await updates(1)  # type: ignore[arg-type,misc]  # the mistake
            free: telex.Variable[Any] = hub.variable("anything", None)
            assert await free.set({"a": 1}) == {"a": 1}

    clock.run(main())


def test_changes_wait_for_a_subscriber_that_blocks(clock: VirtualClock) -> None:
    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            count = hub.variable("signups", 0)
            async with hub.topic("signups").subscribe(overflow="block", buffer=1) as changes:
                await count.add(1)
                with pytest.raises(telex.WouldBlock):
                    count.add_nowait(1)
                both = asyncio.gather(count.add(1), count.add(1))
                heard = [(await changes.receive()).content.value for _ in range(3)]
                assert heard == [1, 2, 3]
                assert list(await both) == [2, 3]
                assert [count.value] == [3]

    clock.run(main())


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

    @hub.when(count >= 5)
    def full(firing: telex.Firing) -> None:
        fired.append(firing.scheduled)

    async def main() -> None:
        async with hub:
            late: list[telex.Firing] = []
            with pytest.raises(telex.BadOption, match="name="):
                hub.when(count >= 3)(lambda firing: late.append(firing))
            hub.when(count >= 3, name="late")(lambda firing: late.append(firing))
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


def test_rate_and_silence_over_patterns(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.rate("logins:failed:*", per="1m") >= 3, topic="attack", rising=True)
    hub.when(hub.rate("logins:failed:*", per="1m", by=lambda m: m.content) >= 2, topic="guess", rising=True)
    hub.when(hub.silence("beat:*", longer_than="30s"), topic="silent", rising=True)
    hub.when(hub.silence("beat:*", longer_than="30s", by=lambda m: m.topic), topic="dead", rising=True)

    async def main() -> None:
        topics = [hub.topic(name).subscribe() for name in ("attack", "guess", "silent", "dead")]
        async with hub, topics[0] as attack, topics[1] as guess, topics[2] as silent, topics[3] as dead:
            for time, topic, content in (
                (0, "beat:1", ""),
                (5, "logins:failed:x", "ann"),
                (10, "beat:2", ""),
                (20, "logins:failed:y", "bob"),
                (64, "logins:failed:x", "bob"),  # the third in a minute, bob's second
                (70, "beat:2", ""),
                (80, "logins:failed:z", "ann"),
                (90, "logins:failed:z", "ann"),
                (300, "logins:failed:z", "ann"),
            ):
                await asyncio.sleep(time - (clock.now - BEGIN).total_seconds())
                await hub.topic(topic).publish(content)
            await asyncio.sleep(1)
            assert waiting(attack) == [64, 90]
            assert [(m.content.key, *seconds_of((m,))) for m in guess.receive_many_nowait()] == [
                ("bob", 64),
                ("ann", 90),
            ]
            assert waiting(silent) == [40, 100]
            assert [(m.content.key, *seconds_of((m,))) for m in dead.receive_many_nowait()] == [
                ("beat:1", 30),
                ("beat:2", 40),
                ("beat:2", 100),
            ]

    clock.run(main())


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


def test_combining(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    a, b = hub.variable("a", 0), hub.variable("b", 0)
    hub.when(((a == 1) | (b == 2)) & ~(b == 1), topic="combined", rising=True)
    hub.when((a == 1).then(b == 1, within="3s"), topic="sequence", rising=True)
    hub.when((a == 1).debounce(3), topic="steady", rising=True)
    hub.when((a == 1).throttle(10), topic="seldom", rising=True)
    hub.when((a == 1).times(3), topic="third", rising=True)
    names = ("combined", "sequence", "steady", "seldom", "third")

    async def main() -> dict[str, list[float]]:
        inboxes = {name: hub.topic(name).subscribe() for name in names}
        async with hub:
            for inbox in inboxes.values():
                enter(inbox)
            for variable, value in (
                (a, 1),
                (b, 1),
                (a, 0),
                (a, 1),
                (b, 0),
                (a, 0),
                (b, 2),
                (a, 1),
                (b, 1),
                (a, 0),
                (b, 0),
                (a, 1),
            ):
                await asyncio.sleep(1)
                await variable.set(value)
            await asyncio.sleep(10)
            return {name: waiting(inbox) for name, inbox in inboxes.items()}

    assert clock.run(main()) == {
        "combined": [1, 5, 7, 12],
        "sequence": [2, 9],
        "steady": [15],
        "seldom": [1, 12],
        "third": [8],
    }


def test_a_function_is_looked_at(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(clock=clock)
    levels = iter([False, True, True, False, True, True])
    slow, looks = asyncio.Event(), []

    def level() -> bool:
        return next(levels, False)

    async def ready() -> bool:
        looks.append(clock.now)
        await slow.wait()
        return True

    def broken() -> bool:
        raise ZeroDivisionError

    hub.when(level, every="10s", topic="each", rising=True)
    hub.when(ready, every="10s", topic="ready")
    hub.when(broken, every="10s", topic="never")

    async def main() -> None:
        async with hub, hub.topic("each").subscribe() as each, hub.topic("ready").subscribe() as once:
            await asyncio.sleep(95)
            assert looks == [after(10)]  # it was not called again while it looked
            slow.set()
            assert [message.content.scheduled async for message in once] == [after(10)]
            await asyncio.sleep(60)
            assert waiting(each) == [20, 50]
            found = {trigger.trigger: trigger for trigger in hub.triggers()}
            assert (found["never"].failed, found["never"].fired, found["never"].next) == (15, 0, after(160))

    with caplog.at_level(logging.ERROR, "telex.triggers"):
        clock.run(main())
    assert "broken raised" in caplog.text


def test_a_function_that_is_slow_to_be_cancelled_holds_up_no_closing(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    hub = telex.Hub(clock=clock)
    left = []

    async def stubborn() -> bool:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(500)
        left.append(clock.now)
        raise ZeroDivisionError

    async def cancelled() -> bool:
        raise asyncio.CancelledError  # as when what it awaits was

    hub.when(stubborn, every="10s", topic="stubborn")
    hub.when(cancelled, every="10s", topic="cancelled")

    async def main() -> None:
        async with hub:
            await asyncio.sleep(45)
            assert [trigger.failed for trigger in hub.triggers()] == [0, 4]
        assert clock.now == after(46)
        await asyncio.sleep(600)
        assert left == [after(545)]

    with caplog.at_level(logging.ERROR):
        clock.run(main())
    assert "stubborn, which did not let itself be cancelled in 1 s" in caplog.text
    assert "never retrieved" not in caplog.text


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


def test_mistakes_are_told_where_they_are_made() -> None:
    hub, other = telex.Hub(), telex.Hub()
    count = hub.variable("count", 0)
    with pytest.raises(telex.Misuse, match="combine conditions with &"):
        bool(count >= 3)
    with pytest.raises(telex.BadOption, match="another hub"):
        other.when(count >= 3, topic="x")
    for mistake, match in (
        (lambda: hub.when(lambda: True, topic="x"), "every='10s'"),
        (lambda: hub.when(count >= 1, every=3, topic="x"), "evaluated at each message"),
        (lambda: hub.when(3, every=3, topic="x"), "comparison"),  # type: ignore[arg-type]
        (lambda: hub.when(count >= 1, hysteresis=-1, topic="x"), "at least 0"),
        (lambda: hub.when(hub.variable("name", "a") >= "b", hysteresis=1, topic="x"), "comparison of numbers"),
        (lambda: hub.when(hub.rate("a", per=1) >= 3, hysteresis=3, topic="x"), "less than 3"),
        (lambda: hub.when(count >= 1, keys=0, topic="x"), "at least 1"),
        (lambda: hub.rate("a", per=0), "longer than 0 s"),
        (lambda: hub.when(hub.rate("a", per=1) == 5, topic="x"), "compare it with"),  # type: ignore[arg-type]
        (lambda: count >= count, "compare two that change"),  # type: ignore[operator]
        (lambda: count != hub.rate("a", per=1), "compare two that change"),
        (lambda: count == (count >= 1), "compare two that change"),
        (lambda: hub.rate("a", per=1) >= count, "compare two that change"),  # type: ignore[operator]
        (lambda: hub.rate("a", per=1) == count, "compare two that change"),
        (lambda: hub.rate("a", per=1) != hub.rate("b", per=1), "compare two that change"),
        (lambda: hub.when(count, topic="x"), "compare it"),  # type: ignore[arg-type]
        (lambda: hub.when(hub.rate("a", per=1), topic="x"), "compare it"),  # type: ignore[arg-type]
        (lambda: hub.every(1, jitter=1, topic="x"), "shorter than the period"),
        (lambda: hub.rate("a", per=1) >= 0, "from 1"),
        (lambda: hub.rate("a", per=1) >= 1.5, "whole number"),  # type: ignore[operator]
        (lambda: hub.rate("a", per=1, by=3), "function of the message"),  # type: ignore[arg-type]
        (lambda: hub.silence("a", longer_than=0), "longer than 0 s"),
        (lambda: (count >= 1) & True, "conditions with conditions"),  # type: ignore[operator]
        (lambda: (count >= 1).times(0), "at least 1"),
        (
            lambda: hub.when((hub.rate("a", per=1) >= 1) & (hub.rate("b", per=1, by=len) >= 1), topic="x"),  # type: ignore[arg-type]
            "to all rates",
        ),
    ):
        with pytest.raises(telex.BadOption, match=match):
            mistake()
    with pytest.raises(telex.BadName):
        hub.rate("a b", per=1)
    with pytest.raises(telex.BadHandler, match="without arguments"):
        hub.when(lambda message: True, every=1, topic="x")  # type: ignore[arg-type]
    assert hub.triggers() == ()


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


async def test_on_a_hub_that_is_closed_nothing_is_declared() -> None:
    async with telex.Hub() as hub:
        pass
    with pytest.raises(telex.Closed):
        hub.when(lambda: True, every=1, topic="x")
    with pytest.raises(telex.Closed):
        hub.every(1, topic="x")


def test_conditions_are_shown_as_they_are_written() -> None:
    hub = telex.Hub()
    a, b, rate = hub.variable("a", 0), hub.variable("b", 0), hub.rate("m:*", per="1m")
    for condition, text in (
        (
            (a >= 1) & ~(b < 2) | (rate >= 3).debounce(5),
            "((a >= 1) & ~(b < 2)) | (rate('m:*', per=60) >= 3).debounce(5)",
        ),
        ((~(a >= 1)).throttle("1h"), "(~(a >= 1)).throttle(3600)"),
        (
            ((a >= 1) | (b == 2)).then(hub.silence("x", longer_than=3), within=4).times(3),
            "((a >= 1) | (b == 2)).then(silence('x', longer_than=3), within=4).times(3)",
        ),
    ):
        assert repr(condition) == text


def test_a_variable_is_not_its_value() -> None:
    hub = telex.Hub()
    count, other = hub.variable("count", 0), hub.variable("other", 0)
    with pytest.raises(telex.Misuse, match="read its value"):
        bool(count)
    for mistake in (
        lambda: count > 1 & other > 1,  # type: ignore[operator]  # on purpose
        lambda: count + 1,  # type: ignore[operator]  # on purpose
        lambda: 1 | count,  # type: ignore[operator]  # on purpose
    ):
        with pytest.raises(telex.Misuse, match="parentheses"):
            mistake()
    with pytest.raises(telex.BadHandler, match=r"not @hub\.every"):

        @hub.every  # type: ignore[arg-type]  # on purpose
        def tick() -> None: ...

    with pytest.raises(telex.BadOption, match="minute, hour, day, month"):
        hub.cron("60 * * * *")


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


def test_a_variable_is_not_assigned_to_nor_calculated_with() -> None:
    count: Any = telex.Hub().variable("count", 3)
    with pytest.raises(telex.Misuse, match=r"await v.set\(...\)"):
        count.value = 5
    with pytest.raises(telex.Misuse, match=r"await v.set\(...\)"):
        count.value += 5
    mistakes: tuple[Callable[[], object], ...] = (
        lambda: operator.iadd(count, 1),  # type: ignore[no-untyped-call]
        lambda: count * 2,
        lambda: 2 / count,
        lambda: count**2,
        lambda: -count,
        lambda: float(count),
        lambda: count & 1,
    )
    for mistake in mistakes:
        with pytest.raises(telex.Misuse, match=r"to read it, v.value; to change it, await v.add\(1\)"):
            mistake()
    assert count.value == 3
