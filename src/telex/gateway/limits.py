"""The limits of a gateway, and `TokenBucket`. Time is an argument."""

from __future__ import annotations

from math import ulp

import msgspec

from telex.checks import instance, number, whole


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a gateway. The page "The gateway" describes the effect of each limit.

    Raises `BadOption` for a limit that is not positive.
    """

    frame_bytes: int = 64 * 1024
    """The largest frame that a client may send."""
    rate: float = 10.0
    """Frames per second that a connection may send on average."""
    burst: int = 20
    """Frames that a connection may send at once."""
    strikes: int = 50
    """Refused or malformed frames in a row after which the connection is closed for good."""
    subscriptions: int = 128
    """Topics and patterns that one connection may subscribe to."""
    connections: int = 10_000
    """Connections of the whole gateway."""
    topics: int = 10_000
    """Topics that the clients of the whole gateway may publish to."""
    outbox_bytes: int = 1024 * 1024
    """Bytes that may wait for a client, of all its subscriptions. A client with more is closed as slow."""
    batch_bytes: int = 64 * 1024
    """The size at which a frame of messages is complete."""
    batch: int = 64
    """Messages that are encoded at once."""
    cache_bytes: int = 8 * 1024 * 1024
    """The size of the cache of encoded batches."""
    write_timeout: float = 10.0
    """Seconds for which a client may read nothing."""
    close_timeout: float = 2.0
    """Seconds that a client has to read the close frame."""
    idle: float = 60.0
    """Seconds for which a connection without a subscription may send no frame."""
    body_bytes: int = 1024 * 1024
    """The largest content of a command by HTTP, in bytes."""
    requests: int = 1000
    """Commands by HTTP that may be in flight."""
    command_timeout: float = 30.0
    """Seconds that a request waits for the outcome; after that the answer is the address of the outcome."""
    outcomes: int = 10_000
    """Outcomes that are kept for senders that did not wait."""
    operation_timeout: float = 10.0
    """Seconds that the engine and the application have for one frame, and a client for the body of a request."""
    head_timeout: float = 10.0
    """Seconds that a client has for the head of a request (`telex.gateway.uvicorn_options`)."""
    head_bytes: int = 64 * 1024
    """The largest head of a request, in bytes (`telex.gateway.uvicorn_options`)."""
    handshakes: int = 256
    """Connections that have not sent the head of a request; another one closes the oldest of them
    (`telex.gateway.uvicorn_options`).
    """
    control_rate: float = 10.0
    """Ping, pong and continuation frames per second that are read from a connection on average
    (`telex.gateway.uvicorn_options`).
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(type(self).__struct_defaults__[self.__struct_fields__.index(name)], int):
                whole(value, name, "a limit of a gateway must be a whole number greater than 0")
            else:
                number(value, name, "a limit of a gateway must be a number greater than 0", ulp(0.0))


DEFAULT_LIMITS = Limits()
"""The limits of a gateway without ``limits=``."""


def check_limits(limits: object) -> Limits:
    """Return the option ``limits`` of an app. Raises `BadOption`."""
    return instance(limits, Limits, "limits", "it must be telex.gateway.Limits(...)")


class TokenBucket:
    """A token bucket: at most ``burst`` tokens, with ``rate`` new tokens per second. It is full at the start."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self.rate: float = rate
        self.burst: int = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take one token and return 0.0, or take none and return the seconds until there is one."""
        # A clock that goes back changes nothing.
        self._tokens = min(float(self.burst), self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = max(now, self._at)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self.rate

    def owe(self, now: float) -> float:
        """Take one token, also when there is none, and return the seconds until the number of tokens is not
        negative.
        """
        self._tokens = min(float(self.burst), self._tokens + max(0.0, now - self._at) * self.rate) - 1.0
        self._at = max(now, self._at)
        return max(0.0, -self._tokens / self.rate)
