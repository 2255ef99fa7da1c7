"""The plan of a command: when it is due, when it expires, and its priority."""

from datetime import UTC, datetime

import pytest

import telex
from telex.commands.plan import LEVELS, REQUESTS, SendPlan, plan_for, priority_of


def test_the_options_become_times() -> None:
    assert plan_for(None, None, None, "normal", None, 100.0) is None
    assert plan_for("1m", None, "2m", "high", None, 100.0) == SendPlan(160.0, 120.0, "high")
    assert plan_for(None, datetime.fromtimestamp(130, UTC), None, "low", 31.0, 100.0) == SendPlan(130.0, None, "low")


@pytest.mark.parametrize(("expires", "limit", "option"), [("1m", None, "expires"), (None, 59.0, "timeout")])
def test_a_command_that_would_never_begin_is_refused(expires: str | None, limit: float | None, option: str) -> None:
    with pytest.raises(telex.BadOption, match=rf"{option}.*must be longer than the 60 s"):
        plan_for("1m", None, expires, "normal", limit, 100.0)


def test_the_topic_of_a_command_tells_its_priority() -> None:
    for level in LEVELS:
        assert priority_of(f"$command:order:high:{REQUESTS[level]}") == level
    assert priority_of("other") == "normal"
