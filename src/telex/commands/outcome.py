"""`Outcome`: the result or the error of a command; `Progress`: a report of its handler."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from telex.codec.content import Content, from_json, to_json
from telex.errors import (
    CommandError,
    CommandExpired,
    CommandFailed,
    KeyConflict,
    printable,
    shown,
    text_of,
)
from telex.once.machine import Entry, Failure
from telex.process.worker import RESULT_REFUSED, ProcessFailed

T = TypeVar("T")
CONFLICT = "key_conflict"
EXPIRED = "expired"
CANCELLED = "cancelled"
REFUSED = "refused"
UNSENDABLE = RESULT_REFUSED


class Outcome(msgspec.Struct, Generic[T], frozen=True, tag="outcome", tag_field="kind"):
    """The end of a command: its ``result``, or its ``error``.

    ``id`` is the id of the command, and ``key`` the key under which it was sent. ``attempt`` is the number of attempts
    until this outcome. ``replayed`` is true when an earlier sender's outcome was returned, and no handler ran for this
    sender.
    """

    command: str
    id: str
    key: str | None
    result: T
    error: Failure | None
    attempt: int
    completed_at: datetime
    replayed: bool = False

    @property
    def ok(self) -> bool:
        """True when the command has a result."""
        return self.error is None

    def value(self) -> T:
        """Return the result. Raises `CommandFailed`; `KeyConflict` when the key was used with other content."""
        return self.result if self.error is None else raise_failure(self, self.error)


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="kind"):
    """The progress of a command: a ``fraction`` from 0 to 1, and a ``text`` for people."""

    command: str
    id: str
    key: str | None
    fraction: float
    text: str


class OutcomeRef(msgspec.Struct, frozen=True, tag="parcel", tag_field="kind"):
    """A reference to an outcome that is too large for a message: ``ref`` is the key of its record."""

    command: str
    id: str
    ref: str


Reply = Outcome[Any] | Progress | OutcomeRef
"""The content of a message to a reply inbox or to followers."""


def raise_failure(outcome: Outcome[Any], error: Failure, cause: BaseException | None = None) -> NoReturn:
    """Raise the ``error`` of an outcome as an exception, from ``cause``."""
    if error.code == CONFLICT:
        raise KeyConflict(outcome.command, outcome.key or "")
    raise (CommandExpired if error.code == EXPIRED else CommandFailed)(
        *(outcome.command, error.type, error.code, error.message, error.data, outcome.key),
        *(outcome.attempt, outcome.replayed),
    ) from cause


def recorded_outcome(entry: Entry, command: str, id: str, key: str | None, gives: Content[Any] | None) -> Outcome[Any]:
    """Return the outcome in a record, for the sender of the command ``id``. ``gives`` is the type of the result."""
    error = entry.error
    result = None if error is not None or entry.result is msgspec.UNSET else from_json(entry.result)
    if error is None and gives is not None:
        result = gives.decode(result, command)
    when = datetime.fromtimestamp(entry.completed, UTC)
    return Outcome(command, id, key, result, error, entry.attempt, when, replayed=True)


def refusal(error: BaseException) -> Failure:
    """Return the failure of a command that is refused before it begins."""
    return Failure(type(error).__name__, REFUSED, text_of(error))


def unrun(command: str, id: str, key: str | None, failure: Failure) -> Outcome[Any]:
    """Return an outcome with an error that is not recorded."""
    return Outcome(command, id, key, None, failure, 0, datetime.now(UTC))


def failure_of(error: BaseException) -> Failure:
    """Return an exception of a handler as a failure, which can be recorded and sent."""
    name = printable(type(error).__qualname__)
    if isinstance(error, ProcessFailed):
        return Failure(printable(error.type), error.code, text_of(error.text), None, final=error.code == UNSENDABLE)
    if not isinstance(error, CommandError):
        return Failure(name, "error", text_of(error), None, final=False)
    # A subclass may lack `CommandError.__init__`, and have values of any type.
    message = getattr(error, "message", None)
    text = " ".join(map(text_of, error.args)) if message is None else text_of(message)
    final = bool(getattr(error, "final", True))
    return Failure(name, text_of(error.code), text, _plain(getattr(error, "data", None)), final)


def _plain(data: object) -> object:
    """Return the data of a handler's error as plain data, or as text when it has no JSON form."""
    try:
        return from_json(to_json(data))
    except Exception:  # noqa: BLE001  # the error is sent without its data
        return shown(data)


def is_published(outcome: Outcome[Any]) -> bool:
    """Return true when followers get this outcome. A conflict or a refusal goes to its sender only."""
    return outcome.error is None or outcome.error.code not in (CONFLICT, REFUSED)
