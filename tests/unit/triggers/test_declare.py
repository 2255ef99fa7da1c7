"""Declarations of triggers: mistakes are told where they are made."""

from datetime import datetime

import pytest

import telex
from telex.testing.clock import VirtualClock


def test_mistakes() -> None:
    hub = telex.Hub()
    hub.every(10, topic="ticks")
    with pytest.raises(telex.BadOption, match="another trigger has this name"):
        hub.every(20, topic="ticks")
    with pytest.raises(telex.BadOption, match="at least"):
        hub.every(0)
    with pytest.raises(telex.BadOption, match="'skip', 'once' or 'all'"):
        hub.every(10, misfire="never")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(telex.BadOption, match="aware datetime"):
        hub.at(datetime(2026, 1, 1))  # noqa: DTZ001  # on purpose
    with pytest.raises(telex.BadOption, match="five fields"):
        hub.cron("every day")
    with pytest.raises(telex.BadOption, match="the triggers are ticks"):
        hub.trigger("tick")
    with pytest.raises(telex.BadHandler, match="decorate a function"):
        hub.every(10, run_in="loop")(5)  # type: ignore[type-var]  # on purpose


def test_after_nothing_is_soon(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.after(0, topic="soon")

    async def main() -> None:
        async with hub, hub.topic("soon").subscribe() as soon:
            assert len([message async for message in soon]) == 1

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
        (lambda: hub.when(count >= 1, every=3, topic="x", run_in="loop"), "evaluated at each message"),
        (lambda: hub.when(3, every=3, topic="x", run_in="loop"), "comparison"),  # type: ignore[arg-type]
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
        hub.when(lambda message: True, every=1, topic="x", run_in="loop")  # type: ignore[arg-type]
    assert hub.triggers() == ()


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
