import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex import BadOption
from telex.durations import optional_seconds, seconds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, 0.0),
        (30, 30.0),
        (0.25, 0.25),
        ("250ms", 0.25),
        ("10s", 10.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("24h", 86400.0),
        ("7d", 604800.0),
        ("2w", 1209600.0),
        ("1h30m", 5400.0),
        ("1m500ms", 60.5),
        (" 10S ", 10.0),
        ("0s", 0.0),
        (timedelta(minutes=1), 60.0),
        (timedelta(0), 0.0),
    ],
)
def test_a_written_duration_is_that_many_seconds(written: float | str | timedelta, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    "written",
    ["", " ", "s", "10", "1 s", "-1s", "+1s", "1e3s", "1_0s", ".5s", "1.s", "10sec", "1y", "1s,", "1s 1m", "١s", "ms1"],
)
def test_other_text_is_refused(written: str) -> None:
    with pytest.raises(BadOption, match="'10s'") as raised:
        seconds(written, "lease")
    assert (raised.value.option, raised.value.value) == ("lease", written)


@pytest.mark.parametrize("value", [None, True, False, b"10s", [10], 1j, object], ids=repr)
def test_values_that_are_no_duration_are_refused(value: object) -> None:
    with pytest.raises(BadOption):
        seconds(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [-1, -0.001, math.nan, math.inf, -math.inf, timedelta(seconds=-1), 10**400, "9" * 400 + "s"], ids=str
)
def test_it_is_finite_and_not_negative(value: float | str | timedelta) -> None:
    with pytest.raises(BadOption, match="finite and not negative"):
        seconds(value)


def test_none_is_no_bound_where_one_may_be_left_out() -> None:
    assert optional_seconds(None) is None
    assert optional_seconds("1s") == 1.0


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_text_means_what_a_timedelta_means(number: int, unit: str) -> None:
    words = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    meant = timedelta(**{words[unit]: number})
    assert seconds(f"{number}{unit}") == pytest.approx(seconds(meant))
