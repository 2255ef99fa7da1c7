"""`Limit`: the rate and the concurrency of calls, as declared with ``limit=``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from telex.errors import BadOption, text_of

UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"([1-9][0-9]*)/([0-9]*)(s|min|m|h|d)")
_RATE_FIX = "write the number of calls and the unit, such as '10/s', '100/15min', '5000/h' or '1/d'"
MAX_RATE = 1_000_000
"""The largest number of calls a second: the clocks of engines are not finer."""
MAX_PERIOD_SECONDS = 31 * 86400.0
MAX_COUNT = 1_000_000
BURST_SECONDS = 0.1
"""The seconds of the rate that are the default burst: ``"1000/s"`` has a burst of 100, ``"10/s"`` and less of 1."""
MAX_KEY_BYTES = 512
MAX_NAME_LENGTH = 200
By = Callable[[Any], object]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of the calls of a handler of a group, or of a command, over all processes that share the engine.

    ``rate`` is the number of calls that may begin in a time, as ``"10/s"``: in any ``t`` seconds at most ``rate * t +
    burst`` calls begin. ``burst`` calls may begin at once after a pause; by default it is the number of calls that the
    rate allows in a tenth of a second, at least 1. ``concurrency`` is the number of calls that may run at once.
    Handlers and commands whose limits have the same ``name`` share one limit. Raises `BadOption`.
    """

    rate: str | None = None
    burst: int | None = None
    concurrency: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.rate is None and self.concurrency is None:
            raise BadOption("limit", self, "give a rate, Limit(rate='10/s'), or a concurrency, Limit(concurrency=2)")
        interval = None if self.rate is None else seconds_per_call(self.rate)
        if self.burst is not None and interval is None:
            raise BadOption("burst", self.burst, "only a limit with rate= takes this option")
        for option, count in (("burst", self.burst), ("concurrency", self.concurrency)):
            if count is not None and (not isinstance(count, int) or isinstance(count, bool)):
                raise BadOption(option, count, "it must be a number of calls, such as 2")
            if count is not None and not 1 <= count <= MAX_COUNT:
                raise BadOption(option, count, f"it must be at least 1 and at most {MAX_COUNT}")
        if self.name is not None and not (isinstance(self.name, str) and 0 < len(self.name) <= MAX_NAME_LENGTH):
            raise BadOption("name", self.name, f"it must be text of at most {MAX_NAME_LENGTH} characters")


class Rule(msgspec.Struct, frozen=True):
    """A checked limit in numbers."""

    interval: float | None
    """The seconds of the rate for one call; None for no rate."""
    burst: int
    concurrency: int | None


class LimitSpec(msgspec.Struct, frozen=True):
    """The declared limit of one handler or command. ``by`` is the function of the content that returns the key,
    ``"key"`` for the key of the message, or None.
    """

    name: str
    rule: Rule
    by: By | str | None


def seconds_per_call(rate: object) -> float:
    """Return the seconds between two calls of a rate such as ``"10/s"``. Raises `BadOption`."""
    found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    if found is None:
        raise BadOption("rate", rate, _RATE_FIX)
    calls, times, unit = found.groups()
    period = float(times or 1) * UNITS[unit]
    if not period or period > MAX_PERIOD_SECONDS:
        raise BadOption("rate", rate, "the time after the slash must be more than 0 and at most 31 days")
    if float(calls) / period > MAX_RATE:
        raise BadOption("rate", rate, f"it must be at most {MAX_RATE} calls a second; for no limit leave out limit=")
    return period / float(calls)


def rule_of(limit: Limit) -> Rule:
    """Return the numbers of a limit."""
    interval = None if limit.rate is None else seconds_per_call(limit.rate)
    usual = 1 if interval is None else max(1, int(BURST_SECONDS / interval + 1e-9))
    return Rule(interval, limit.burst or usual, limit.concurrency)


def check_limit(limit: object, by: object, usual_name: str) -> LimitSpec | None:
    """Return the checked options ``limit`` and ``by``, or None without a limit. Raises `BadOption`."""
    if limit is None:
        if by is not None:
            raise BadOption("by", by, "it gives the key of a limit: add limit=, such as limit='10/s'")
        return None
    if isinstance(limit, str):
        limit = Limit(rate=limit)
    if not isinstance(limit, Limit):
        fix = "it must be a rate such as '10/s', or a telex.Limit, such as telex.Limit(rate='10/s', concurrency=2)"
        raise BadOption("limit", limit, fix)
    if by is not None and by != "key" and not callable(by):
        fix = "it must be a function of the content, by=lambda order: order['customer'], or 'key' for the message's key"
        raise BadOption("by", by, fix)
    name = usual_name if limit.name is None else f"name:{limit.name}"
    return LimitSpec(name, rule_of(limit), by)


def key_of(spec: LimitSpec, content: object, message_key: str | None) -> str:
    """Return the key of a call. Raises `BadOption` for another result of ``by`` than text, an int or None, and the
    exceptions of ``by``.
    """
    by = spec.by
    if by is None:
        return ""
    key = message_key if isinstance(by, str) else by(content)
    if key is None:
        return ""
    if not isinstance(key, (str, int)) or isinstance(key, bool):
        raise BadOption("by", key, "it must return text, an int or None: the key whose calls are limited together")
    text = str(key)
    if "\0" in text or len(text.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        raise BadOption("by", text_of(key)[:50], f"its key must be at most {MAX_KEY_BYTES} bytes, without NUL")
    return text
