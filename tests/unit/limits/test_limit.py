"""The text of limits, and the errors of bad limits."""

import pytest

import telex
from telex.limits.limit import LimitSpec, Rule, check_limit, key_of, rule_of


@pytest.mark.parametrize(
    ("rate", "interval", "burst"),
    [
        ("10/s", 0.1, 1),
        ("1/s", 1.0, 1),
        ("100/15min", 9.0, 1),
        ("60/m", 1.0, 1),
        ("100/h", 36.0, 1),
        ("1/d", 86400.0, 1),
        ("1000/s", 0.001, 100),
        ("1000000/s", 1e-6, 100_000),
        ("25/s", 0.04, 2),
    ],
)
def test_a_rate_has_an_interval_and_a_burst_of_a_tenth_of_a_second(rate: str, interval: float, burst: int) -> None:
    rule = rule_of(telex.Limit(rate=rate))
    assert rule.interval == pytest.approx(interval)
    assert (rule.burst, rule.concurrency) == (burst, None)


@pytest.mark.parametrize(
    "rate", ["ten/s", "0/s", "10", "10/x", "1e9/s", "-1/s", "10/0s", "1000001/s", "", "1.5/s", "1/99d"]
)
def test_a_rate_that_cannot_be_read_is_refused(rate: str) -> None:
    with pytest.raises(telex.BadOption, match="rate"):
        telex.Limit(rate=rate)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "give a rate"),
        ({"concurrency": 0}, "at least 1"),
        ({"concurrency": 1.5}, "number of calls"),
        ({"rate": "1/s", "burst": 0}, "at least 1"),
        ({"concurrency": True}, "number of calls"),
        ({"concurrency": 2, "burst": 3}, "only a limit with rate="),
        ({"rate": "1/s", "name": ""}, "text of"),
    ],
)
def test_a_limit_without_meaning_is_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(telex.BadOption, match=text):
        telex.Limit(**options)  # type: ignore[arg-type]


def test_options_that_are_no_limit_are_refused() -> None:
    with pytest.raises(telex.BadOption, match="add limit="):
        check_limit(None, "key", "x")
    with pytest.raises(telex.BadOption, match=r"telex\.Limit"):
        check_limit(2, None, "x")
    with pytest.raises(telex.BadOption, match="function of the content"):
        check_limit("1/s", "customer", "x")


def test_a_limit_with_a_name_is_shared_and_another_has_the_name_of_its_handler() -> None:
    assert check_limit("1/s", None, "group:g f") == LimitSpec("group:g f", Rule(1.0, 1, None), None)
    named = check_limit(telex.Limit(concurrency=2, name="stripe"), "key", "group:g f")
    assert named == LimitSpec("name:stripe", Rule(None, 1, 2), "key")
    assert check_limit(None, None, "x") is None


def test_the_key_of_a_call_is_text_an_int_or_none() -> None:
    def keys(by: object, content: object, message_key: str | None = None) -> str:
        spec = check_limit("1/s", by, "x")
        assert spec is not None
        return key_of(spec, content, message_key)

    assert keys(None, {"a": 1}, "k") == ""
    assert keys("key", {"a": 1}, "k") == "k"
    assert keys("key", {"a": 1}) == ""
    assert keys(lambda content: content["a"], {"a": 7}) == "7"
    assert keys(lambda content: None, {}) == ""
    for wrong in (1.5, True, b"x", ["a"], "a\0b", "x" * 513):
        with pytest.raises(telex.BadOption, match="by"):
            keys(lambda content, wrong=wrong: wrong, {})
