"""The token bucket, whose clock is the caller's, and the limits that the page names."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from telex.gateway import Limits
from telex.gateway.limits import TokenBucket


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.5, 50), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_rate(gaps: list[float], rate: float, burst: int) -> None:
    bucket, now, taken = TokenBucket(rate, burst, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now) == 0.0
        assert taken <= burst + now * rate + 1e-6


def test_waiting_as_long_as_told_is_enough() -> None:
    bucket = TokenBucket(3.0, 1, 0.0)
    assert bucket.take(0.0) == 0.0
    wait = bucket.take(0.0)
    assert wait > 0
    assert bucket.take(wait + 1e-9) == 0.0


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(1.0, 1, 100.0)
    assert bucket.take(100.0) == 0.0
    assert bucket.take(0.0) > 0
    assert bucket.take(100.5) > 0
    assert bucket.take(101.0) == 0.0  # and it takes nothing


def test_the_owed_wait_is_never_negative_and_adds_up() -> None:
    bucket = TokenBucket(2.0, 3, 0.0)
    assert [bucket.owe(0.0) for _ in range(6)] == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]
    assert bucket.owe(1.5) == 0.5
    assert bucket.owe(100.0) == 0.0


PAGE = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text()  # files are not read on the event loop


UNITS = {"": 1, "s": 1, "a second": 1, "in a row": 1, "KiB": 1024, "MiB": 1024**2}


BOUND = re.compile(r"`(\w+)`(?:, | \| )([\d ]*\d) ?(KiB|MiB|s\b|a second|in a row|)")


def test_the_limits_are_those_of_the_page() -> None:
    fields = Limits.__struct_fields__
    found = {
        name: int(number.replace(" ", "")) * UNITS[unit] for name, number, unit in BOUND.findall(PAGE) if name in fields
    }
    assert {"frame_bytes", "idle", "connections", "outbox_bytes", "write_timeout", "strikes", "rate"} <= set(found)
    assert {"body_bytes", "requests", "command_timeout", "outcomes", "burst"} <= set(found)
    assert found == {name: getattr(Limits(), name) for name in found}


def test_every_bound_is_on_the_page() -> None:
    missing = [name for name in Limits.__struct_fields__ if f"`{name}`" not in PAGE]
    assert not missing
