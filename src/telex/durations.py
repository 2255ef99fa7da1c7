"""Lengths of time as people write them: ``30``, ``"30s"``, ``"1h30m"`` or a `datetime.timedelta`."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from telex.errors import BadOption

Duration = float | str | timedelta
"""Seconds as a number, text such as ``"250ms"``, ``"10s"``, ``"5m"``, ``"24h"``, ``"7d"``, or a `timedelta`."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])")
_FIX = "give seconds, a timedelta, or text such as '250ms', '10s', '5m', '24h', '7d'"


def seconds(value: Duration, option: str = "duration") -> float:
    """Return the seconds of a duration. ``option`` names the argument in the error.

    Raises `BadOption` when ``value`` is not a duration, or is negative, infinite or NaN.
    """
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, str):
        text = value.strip().lower()
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise BadOption(option, value, _FIX)
        result = sum(float(number) * _UNITS[unit] for number, unit in parts)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
    else:
        raise BadOption(option, value, _FIX)
    if not math.isfinite(result) or result < 0:
        raise BadOption(option, value, "a length of time must be finite and not negative; " + _FIX)
    return result


def optional_seconds(value: Duration | None, option: str = "timeout") -> float | None:
    """Return the seconds of a duration, or None for None, which means no bound."""
    return None if value is None else seconds(value, option)


def due(delay: Duration | None, at: datetime | None, now: float) -> float | None:
    """Return the time, in seconds since 1970, that is ``delay`` after ``now``, or the time ``at`` (an aware datetime).
    None without both. Raises `BadOption` for both, and for a bad value.
    """
    if at is None:
        return None if delay is None else now + seconds(delay, "delay")
    if delay is not None:
        raise BadOption("delay", delay, "give delay= or at=, not both")
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise BadOption("at", at, "give an aware datetime, such as datetime.now(timezone.utc) + timedelta(hours=1)")
    return at.timestamp()
