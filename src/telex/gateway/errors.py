"""What a gateway refuses, and the codes it refuses and closes with."""

from __future__ import annotations

from enum import IntEnum

from telex.errors import TelexError


class Refused(TelexError):
    """The client's fault: the gateway does not do what a frame asks. Told to the client as an ``error`` frame.

    ``code`` is for programs (the table in `telex.gateway.protocol`), ``problem`` for people, ``retry_after`` the
    seconds after which the same frame may be sent again, None when it never may, and ``data`` what else there is to
    know, with a JSON form. Raised where a `Authorizer` is made, it refuses the handshake: HTTP 403 with ``problem``.
    """

    def __init__(self, code: str, problem: str, retry_after: float | None = None, data: object = None) -> None:
        super().__init__(code, problem, retry_after, data)
        self.code = code
        self.problem = problem
        self.retry_after = retry_after
        self.data = data

    def __str__(self) -> str:
        return self.problem


class CloseCode(IntEnum):
    """Why the gateway closed a connection.

    1011, 1012 and 3000 to 3499 say "come back"; 1003, 1009 and 3500 to 3999 say "do not".
    """

    RESTART = 1012
    """The server stops or restarts."""
    FAULT = 1011
    """The server failed; its log says how."""
    BINARY = 1003
    """A binary frame came, where frames are JSON text."""
    TOO_LARGE = 1009
    """A frame was larger than `Limits.frame_bytes`."""
    IDLE = 3001
    """The connection subscribed to nothing and said nothing for `Limits.idle` seconds."""
    FULL = 3002
    """The gateway has `Limits.connections` open; come back later."""
    SLOW = 3008
    """More than `Limits.outbox_bytes` waited for the client, or it took nothing for `Limits.write_timeout` seconds."""
    MALFORMED = 3500
    """`Limits.strikes` frames in a row could not be read."""
    FLOOD = 3501
    """The client went on sending after `Limits.strikes` refusals for its rate."""

    @property
    def come_back(self) -> bool:
        """Whether a client is to connect again, and go on from its positions."""
        return self in {CloseCode.RESTART, CloseCode.FAULT} or 3000 <= self < 3500
