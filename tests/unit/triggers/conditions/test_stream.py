"""Conditions on messages and on their absence."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telex
from telex.testing.clock import BEGIN, VirtualClock
from telex.triggers.conditions.condition import Condition, Moment, Source
from telex.triggers.conditions.stream import Counted, Rate, Silence, source_of
from tests.unit.triggers.parts import seconds_of, waiting


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


BOUNDS: dict[str, Callable[[Rate], Counted]] = {
    ">=": lambda rate: rate >= 3,
    ">": lambda rate: rate > 2,
    "<": lambda rate: rate < 3,
    "<=": lambda rate: rate <= 2,
}


def message(at: float, topic: str = "m") -> telex.Message[str]:
    return telex.Message.new("", topic=topic, timestamp=datetime.fromtimestamp(at, UTC))


def run(condition: Condition, *times: float, looks: tuple[float, ...] = ()) -> list[tuple[float, bool]]:
    """Whether it holds at each message, and at the times of `looks`."""
    (source,) = condition.sources
    state, found = condition.begin(0.0), []
    for now in sorted((*times, *looks)):
        came = (source, message(now)) if now in times else (None, None)
        state, holds, _ = condition.step(state, Moment(now, {}, *came))
        found.append((now, holds))
    return found


@pytest.mark.parametrize("op", BOUNDS)
def test_a_rate_is_high_from_its_number_until_the_window_has_passed(op: str) -> None:
    condition = BOUNDS[op](Rate("m", "10s"))
    high = {now: holds is (op in (">=", ">")) for now, holds in run(condition, 0, 5, 9, 14, looks=(9.9, 10, 15, 19))}
    assert high == {0: False, 5: False, 9: True, 9.9: True, 10: False, 14: True, 15: False, 19: False}
    assert repr(condition) == f"rate('m', per=10) {op} {condition.bound}"


def test_the_next_time_of_a_rate_is_when_a_message_leaves_the_window() -> None:
    condition = Rate("m", 10) >= 2
    (source,) = condition.sources
    state = condition.begin(0.0)
    state, holds, at = condition.step(state, Moment(1.0, {}, source, message(1)))
    assert (holds, at) == (False, None)
    state, holds, at = condition.step(state, Moment(4.0, {}, source, message(4)))
    assert (holds, at) == (True, 11.0)
    assert condition.step(state, Moment(11.0, {}))[1:] == (False, None)


def test_messages_of_another_source_count_for_nothing() -> None:
    condition = Rate("m", 10) >= 1
    _, holds, _ = condition.step(condition.begin(0.0), Moment(1.0, {}, Source("other"), message(1, "other")))
    assert not holds


def test_hysteresis_keeps_a_rate_high_at_fewer_messages() -> None:
    condition = (Rate("m", 10) >= 4).slackened(2)
    found = dict(run(condition, 0, 1, 2, 3, looks=(10, 11, 12)))
    assert found == {0: False, 1: False, 2: False, 3: True, 10: True, 11: True, 12: False}
    with pytest.raises(telex.BadOption, match="less than 4"):
        (Rate("m", 10) >= 4).slackened(4)


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 40).map(lambda n: n / 4), max_size=30).map(sorted),
    st.integers(1, 5),
    st.integers(1, 12).map(lambda n: n / 4),
)
def test_a_rate_is_the_number_of_messages_in_its_window(times: list[float], bound: int, per: float) -> None:
    condition = Rate("m", per) >= bound
    (source,) = condition.sources
    state = condition.begin(0.0)
    for number, now in enumerate(times):
        moment = Moment(now, {}, source, message(now))
        state, holds, _ = condition.step(state, moment)
        count = sum(now < time + per for time in times[: number + 1])
        assert holds is (count >= bound)
        measured = condition.measures(state, moment)["m"]
        assert min(count, bound) <= measured <= count


@pytest.mark.parametrize("bound", [0, -1, True, 1.5, "3", None, 1_000_001])
def test_a_rate_is_compared_with_a_whole_number(bound: Any) -> None:
    with pytest.raises(telex.BadOption, match="whole number from 1 to 1000000") as raised:
        Rate("m", 1) >= bound  # noqa: B015
    assert (raised.value.option, raised.value.value) == ("bound", bound)


def test_a_rate_is_not_equal_to_a_number_and_has_no_truth() -> None:
    rate, other = Rate("m", 1), Rate("m", 1)
    assert rate == rate
    assert hash(rate) != hash(other)
    with pytest.raises(telex.BadOption, match="may pass a number"):
        rate == 5  # noqa: B015
    with pytest.raises(telex.BadOption, match="compared with a number"):
        rate == other  # noqa: B015
    with pytest.raises(telex.Misuse, match="compare it"):
        bool(rate)


def test_a_silence_holds_from_its_length_after_the_last_message() -> None:
    condition = Silence("m", "5s")
    found = dict(run(condition, 2, 3, looks=(1, 7.9, 8, 20)))
    assert found == {1: False, 2: False, 3: False, 7.9: False, 8: True, 20: True}
    assert dict(run(condition, looks=(4.9, 5))) == {4.9: False, 5: True}, "it counts from the begin"
    assert condition.step(3.0, Moment(4.0, {})) == (3.0, False, 8.0)
    assert not condition.rests(3.0, 100.0)


@pytest.mark.parametrize("make", [lambda length: Rate("m", length), lambda length: Silence("m", length)])
def test_a_length_is_longer_than_nothing(make: Callable[[float], object]) -> None:
    for length in (0, "0s"):
        with pytest.raises(telex.BadOption, match="longer than 0 s"):
            make(length)  # type: ignore[arg-type]
    with pytest.raises(telex.BadOption):
        make(-1)


def test_a_source_is_a_pattern_and_a_function() -> None:
    by = str
    assert source_of("m:*", by) == Source("m:*", by)
    with pytest.raises(telex.BadName):
        source_of("m:", None)
    with pytest.raises(telex.BadOption, match="by=lambda"):
        source_of("m", "user")  # type: ignore[arg-type]


def test_a_prefix_comes_before_the_pattern() -> None:
    counted, silence = (Rate("m", 3, str) >= 2).under("shop"), Silence("m", 3, str).under("shop")
    assert counted.sources == silence.sources == {Source("shop:m", str)}
    assert repr(counted) == "rate('shop:m', per=3) >= 2"
    assert repr(silence) == "silence('shop:m', longer_than=3)"
