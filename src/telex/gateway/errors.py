"""The refusals of a gateway, their codes, and the close codes of its connections."""

from __future__ import annotations

import logging
from enum import IntEnum

from telex.errors import (
    BadName,
    BadOption,
    BufferFull,
    Closed,
    ContentError,
    EngineFailed,
    NoSuchCommand,
    TelexError,
    WouldBlock,
)

logger: logging.Logger = logging.getLogger("telex.gateway")


class Refused(TelexError):
    """The client's fault: the gateway refuses a frame. The client gets it as an ``error`` frame.

    ``code`` is for programs (see the table in `telex.gateway.protocol`), ``problem`` is for people. ``retry_after`` is
    the number of seconds after which the client may send the same frame again, or None for never. ``data`` holds more
    details and has a JSON form. Raised while an `Authorizer` is made, it refuses the handshake: HTTP 403 with
    ``problem``.
    """

    def __init__(self, code: str, problem: str, retry_after: float | None = None, data: object = None) -> None:
        super().__init__(code, problem, retry_after, data)
        self.code = code
        self.problem = problem
        self.retry_after = retry_after
        self.data = data

    def __str__(self) -> str:
        return self.problem


MISTAKES: dict[type[Exception], str] = {
    ContentError: "bad_content",
    BadName: "bad_name",
    BadOption: "bad_option",
    NoSuchCommand: "no_such_command",
}
"""The mistakes of a client, with the code of the refusal."""
UNAVAILABLE = (Closed, EngineFailed, BufferFull, WouldBlock)
"""Temporary errors: the client may send the same frame again."""
ANSWERED: tuple[type[Exception], ...] = (Refused, TimeoutError, *MISTAKES, *UNAVAILABLE)
"""The errors that a client gets as a refusal."""


def refusal_for(error: Exception) -> Refused:
    """Return the refusal for one of `ANSWERED`. The cause of an engine's failure is logged and not sent."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, TimeoutError):
        return Refused("timeout", "the server took too long; send it again", 1.0)
    if isinstance(error, EngineFailed):
        logger.error("a client got the error unavailable, because the engine failed: %s", error)
        return Refused("unavailable", "the server cannot keep or read messages at the moment; try again later", 1.0)
    if isinstance(error, UNAVAILABLE):
        return Refused("unavailable", str(error), 1.0)
    return Refused(MISTAKES[type(error)], str(error))


class CloseCode(IntEnum):
    """The WebSocket close codes of the gateway.

    After 1011, 1012 and 3000 to 3499 a client should connect again; after 1003, 1009 and 3500 to 3999 it should not.
    """

    RESTART = 1012
    """The server stops or restarts."""
    FAULT = 1011
    """The server failed, and logged the cause."""
    BINARY = 1003
    """The client sent a binary frame; frames are JSON text."""
    TOO_LARGE = 1009
    """A frame was larger than `Limits.frame_bytes`."""
    IDLE = 3001
    """The client had no subscription and sent no frame for `Limits.idle` seconds."""
    FULL = 3002
    """The gateway has `Limits.connections` open."""
    SLOW = 3008
    """More than `Limits.outbox_bytes` waited for the client, or it read nothing for `Limits.write_timeout` seconds."""
    MALFORMED = 3500
    """`Limits.strikes` frames in a row were malformed."""
    FLOOD = 3501
    """The client sent more frames after `Limits.strikes` refusals for its rate."""

    @property
    def come_back(self) -> bool:
        """True when the client should connect again, and continue from its positions."""
        return self in {CloseCode.RESTART, CloseCode.FAULT} or 3000 <= self < 3500
