"""The options of a subscription are refused where they are given, with the option and its value."""

from datetime import timedelta
from typing import Any, get_args

import pytest

from telex import Message
from telex.errors import BadOption
from telex.log.options import Options, Overflow, check_options

GIVEN: dict[str, Any] = {
    "overflow": "drop_newest",
    "buffer": 1024,
    "buffer_bytes": None,
    "key": None,
    "report_lost": False,
    "block_timeout": 30,
}


def key_of(message: Message[Any]) -> object:
    return message.topic


async def waits(message: object) -> object:
    return message


@pytest.mark.parametrize(
    ("option", "value", "fix"),
    [
        ("overflow", "drop", "drop_newest, drop_oldest, latest"),
        ("overflow", None, "it must be one of"),
        ("buffer", 0, "at least 1"),
        ("buffer", -1, "at least 1"),
        ("buffer", True, "at least 1"),
        ("buffer", 1.5, "at least 1"),
        ("buffer", "9", "at least 1"),
        ("buffer_bytes", 0, "number of bytes that may wait, or None"),
        ("buffer_bytes", 1.5, "number of bytes that may wait, or None"),
        ("key", key_of, "only overflow='latest' takes a key"),
        ("report_lost", 1, "True or False"),
        ("report_lost", None, "True or False"),
        ("block_timeout", -1, "finite and not negative"),
        ("timeout", "soon", "'10s'"),
    ],
)
def test_an_invalid_option_is_named(option: str, value: object, fix: str) -> None:
    with pytest.raises(BadOption, match=fix) as raised:
        check_options(**GIVEN | {option: value})
    assert (raised.value.option, raised.value.value) == (option, value)


@pytest.mark.parametrize("key", ["user", 5, waits])
def test_a_key_is_a_function_that_does_not_wait(key: Any) -> None:
    with pytest.raises(BadOption, match="a sync function") as raised:
        check_options(**GIVEN | {"overflow": "latest", "key": key})
    assert raised.value.option == "key"


@pytest.mark.parametrize("overflow", get_args(Overflow))
def test_every_policy_is_accepted(overflow: Any) -> None:
    assert check_options(**GIVEN | {"overflow": overflow}).overflow == overflow


def test_durations_become_seconds() -> None:
    options = check_options(**GIVEN | {"block_timeout": "1m", "timeout": timedelta(seconds=2)})
    assert (options.block_timeout, options.timeout) == (60.0, 2.0)


def test_all_options_are_kept() -> None:
    options = check_options("latest", 7, 9, key_of, True, 1, 2)
    assert options == Options("latest", 7, 9, key_of, True, 1.0, 2.0)


def test_subscribers_with_the_default_options_share_one_object() -> None:
    assert check_options(**GIVEN) is check_options(**GIVEN)
    assert check_options(**GIVEN) == Options()
    assert check_options(**GIVEN | {"buffer": 3}) is not check_options(**GIVEN | {"buffer": 3})
