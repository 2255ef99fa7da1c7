"""How much one connection may ask for, and how fast. Time is an argument: whoever does the I/O owns the clock."""

from __future__ import annotations

import msgspec

from telex.errors import BadOption


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a gateway. What happens at each is in the page "The gateway" of the documentation.

    Raises `BadOption` for a bound that is not positive.
    """

    frame_bytes: int = 64 * 1024
    """The largest frame a client may send."""
    rate: float = 10.0
    """Frames a second that a connection may send on average."""
    burst: int = 20
    """Frames that it may send at once."""
    strikes: int = 50
    """Refused or unreadable frames in a row after which the connection is closed for good."""
    subscriptions: int = 128
    """Topics and patterns that one connection may follow."""
    connections: int = 10_000
    """Connections of the whole gateway."""
    topics: int = 10_000
    """Topics that the clients of the whole gateway may publish to."""
    outbox_bytes: int = 1024 * 1024
    """Bytes that may wait for a client, over all its subscriptions; one that lets more pile up is closed as slow."""
    batch_bytes: int = 64 * 1024
    """About how large a frame of messages becomes before the next one is begun."""
    batch: int = 64
    """Messages that are encoded at once."""
    cache_bytes: int = 8 * 1024 * 1024
    """Encoded batches that are kept for the other clients at the same place."""
    write_timeout: float = 10.0
    """Seconds that a client may take nothing."""
    close_timeout: float = 2.0
    """Seconds that a client is given to take the close frame."""
    idle: float = 60.0
    """Seconds that a connection without a subscription may be silent."""
    body_bytes: int = 1024 * 1024
    """The largest content of a command that may be sent by HTTP."""
    requests: int = 1000
    """Commands that are waited for at once, by HTTP."""
    command_timeout: float = 30.0
    """Seconds that a request waits for its outcome; then it is told where to look."""
    outcomes: int = 10_000
    """Outcomes that are kept for those who look later."""
    operation_timeout: float = 10.0
    """Seconds that the engine and the application are given for one frame, and a client for a request's body."""
    head_timeout: float = 10.0
    """Seconds that a client may take for the head of a request (`telex.gateway.uvicorn_options`)."""
    head_bytes: int = 64 * 1024
    """The largest head of a request (likewise)."""
    handshakes: int = 256
    """Connections that have not sent the head of a request yet; one more closes the oldest of them (likewise)."""
    control_rate: float = 10.0
    """Ping, pong and continuation frames a second that are read from a connection on average (likewise)."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not value > 0:
                raise BadOption(name, value, "a bound of a gateway is greater than 0")


DEFAULT_LIMITS = Limits()


class TokenBucket:
    """``rate`` tokens a second, at most ``burst`` saved up. Full at the start."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self.rate: float = rate
        self.burst: int = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take one token: 0.0 when there was one, else the seconds until there is, and nothing was taken."""
        # A clock that steps back gives no tokens and takes none.
        self._tokens = min(float(self.burst), self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = max(now, self._at)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self.rate

    def owe(self, now: float) -> float:
        """Take one token, if need be of those to come: the seconds until all that were taken have come."""
        self._tokens = min(float(self.burst), self._tokens + max(0.0, now - self._at) * self.rate) - 1.0
        self._at = max(now, self._at)
        return max(0.0, -self._tokens / self.rate)
