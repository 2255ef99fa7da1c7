"""The refusals of a gateway, their codes, and the close codes of its connections."""

from __future__ import annotations

import logging
from enum import IntEnum

from telex.errors import BadName, BadOption, BufferFull, Closed, ContentError, EngineFailed, TelexError, WouldBlock

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


CODES: dict[type[Exception], str] = {ContentError: "bad_content", BadName: "bad_name", BadOption: "bad_option"}
"""The refusal code for each mistake of a client."""
UNAVAILABLE = (Closed, EngineFailed, BufferFull, WouldBlock)
"""The errors that pass: the client may send the same frame again."""


def mistaken(error: ContentError | BadName | BadOption) -> Refused:
    """Return the refusal for a client's mistake."""
    return Refused(CODES[type(error)], str(error))


def unavailable(error: TelexError) -> Refused:
    """Return the refusal for one of `UNAVAILABLE`. The cause of an engine's failure is logged and not sent."""
    if not isinstance(error, EngineFailed):
        return Refused("unavailable", str(error), 1.0)
    logger.error("a client got the error unavailable, because the engine failed: %s", error)
    return Refused("unavailable", "the server cannot keep or read messages at the moment; try again later", 1.0)


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
        """True when the client should connect again, and go on from its positions."""
        return self in {CloseCode.RESTART, CloseCode.FAULT} or 3000 <= self < 3500
