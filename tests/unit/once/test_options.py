"""The options of commands that run once are refused where they are declared."""

from datetime import timedelta
from typing import Any

import pytest

from telex.errors import BadOption
from telex.once.options import DEFAULTS, OnceOptions, once_options
from tests.unit.commands.parts import Store

GIVEN = DEFAULTS | {"once": True}


def test_the_defaults_in_seconds() -> None:
    assert once_options(GIVEN, 30.0) == OnceOptions(30.0, 86400.0, 3, 1.0, 1, None, False)


def test_a_command_that_does_not_run_once_has_none() -> None:
    assert once_options(DEFAULTS | {"once": False}, 30.0) is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("max_attempts", 4), ("backoff", 2.0), ("version", 2), ("store", Store()), ("run_anyway", True)],
        *[("max_attempts", 3), ("backoff", 1.0), ("version", 1)],  # the values of a command with once=True
    ],
)
def test_options_of_once_need_once(option: str, value: object) -> None:
    with pytest.raises(BadOption, match="once=True") as raised:
        once_options(DEFAULTS | {"once": False, option: value}, 30.0)
    assert (raised.value.option, raised.value.value) == (option, value)


@pytest.mark.parametrize(
    ("option", "value", "fix"),
    [
        ("once", 1, "True or False"),
        ("once", "key", "True or False"),
        ("max_attempts", 0, "at least 1"),
        ("max_attempts", True, "at least 1"),
        ("max_attempts", 1.5, "at least 1"),
        ("version", 0, "at least 1"),
        ("version", "2", "at least 1"),
        ("keep", 29, "lease"),
        ("keep", "ever", "'10s'"),
        ("backoff", -1, "finite and not negative"),
        ("store", object(), "telex.once.OnceStore"),
        ("store", "postgresql://", "telex.once.OnceStore"),
        ("run_anyway", "yes", "True or False"),
    ],
)
def test_an_invalid_option_is_named_with_its_fix(option: str, value: object, fix: str) -> None:
    with pytest.raises(BadOption, match=fix) as raised:
        once_options(GIVEN | {option: value}, 30.0)
    assert (raised.value.option, raised.value.value) == (option, value)


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"keep": 30}, "keep", 30.0),
        ({"keep": timedelta(days=2)}, "keep", 172800.0),
        ({"max_attempts": 1}, "max_attempts", 1),
        ({"backoff": "0s"}, "backoff", 0.0),
        ({"version": 7}, "version", 7),
        ({"run_anyway": True}, "run_anyway", True),
    ],
)
def test_a_valid_option_is_kept(given: dict[str, Any], field: str, value: object) -> None:
    found = once_options(GIVEN | given, 30.0)
    assert found is not None
    assert getattr(found, field) == value


def test_a_store_of_the_program_is_kept() -> None:
    store = Store()
    found = once_options(GIVEN | {"store": store}, 30.0)
    assert found is not None
    assert found.store is store
