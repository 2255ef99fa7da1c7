"""The options of a subscription, checked where they are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec

from telex.checks import flag, whole
from telex.durations import Duration, optional_seconds, seconds
from telex.errors import BadOption
from telex.message import Message

Overflow = Literal["drop_newest", "drop_oldest", "latest", "block", "fail", "close", "catch_up"]
"""The policy for a full subscriber; `telex.log.overflow` has the table."""


class Options(msgspec.Struct, frozen=True):
    """The options of one subscription, checked."""

    overflow: Overflow = "drop_newest"
    buffer: int = 1024
    buffer_bytes: int | None = None
    key: Callable[[Message[Any]], object] | None = None
    report_lost: bool = False
    block_timeout: float = 30.0
    timeout: float | None = None
    """Seconds that entering the subscription may take; None is no bound."""


def check_options(
    overflow: Overflow,
    buffer: int,
    buffer_bytes: int | None,
    key: Callable[[Message[Any]], object] | None,
    report_lost: bool,
    block_timeout: Duration,
    timeout: Duration | None = None,
) -> Options:
    """Return the checked options of a subscription. Raises `BadOption` for an invalid value: the caller's fault."""
    if overflow not in get_args(Overflow):
        raise BadOption("overflow", overflow, f"it must be one of {', '.join(get_args(Overflow))}")
    whole(buffer, "buffer", "it must be at least 1, the number of messages that may wait")
    if buffer_bytes is not None:
        whole(buffer_bytes, "buffer_bytes", "it must be at least 1, the number of bytes that may wait, or None")
    if key is not None and overflow != "latest":
        raise BadOption("key", key, "only overflow='latest' takes a key, and keeps the newest message of each key")
    if key is not None and (not callable(key) or inspect.iscoroutinefunction(key)):
        raise BadOption("key", key, "it must be a sync function of the message, such as lambda m: m.content['user']")
    flag(report_lost, "report_lost")
    patience = seconds(block_timeout, "block_timeout")
    options = Options(overflow, buffer, buffer_bytes, key, report_lost, patience, optional_seconds(timeout))
    return _USUAL if options == _USUAL else options  # most subscriptions share one object


_USUAL = Options()
