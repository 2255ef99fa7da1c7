"""`Outcome`: what became of a command; `Progress`: how far it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from telex.codec.content import from_json, to_json
from telex.errors import CommandError, CommandFailed, KeyConflict, printable, shown, text_of
from telex.once.machine import Failure

T = TypeVar("T")
CONFLICT = "key_conflict"
EXPIRED = "expired"
CANCELLED = "cancelled"
REFUSED = "refused"
UNSENDABLE = "result_refused"


class Outcome(msgspec.Struct, Generic[T], frozen=True, tag="outcome", tag_field="kind"):
    """What became of a command: its ``result``, or its ``error``.

    ``id`` is of the command as it was sent, ``key`` what makes repeats of it one; ``attempt`` is how often it was begun
    until this came of it; ``replayed`` says that nothing ran for this sender, since it was done before.
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
        """Whether it has a result."""
        return self.error is None

    def value(self) -> T:
        """The result. Raises `CommandFailed`; `KeyConflict` when the key was used with other content."""
        return self.result if self.error is None else self.fail()

    def fail(self, cause: BaseException | None = None) -> NoReturn:
        """Raise its error, from ``cause``."""
        error = self.error
        if error is None:
            raise AssertionError("it has a result, and no error")
        if error.code == CONFLICT:
            raise KeyConflict(self.command, self.key or "")
        raise CommandFailed(
            self.command, error.type, error.code, error.message, error.data, self.key, self.attempt, self.replayed
        ) from cause


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="kind"):
    """How far a command is: a ``fraction`` from 0 to 1, and text for people."""

    command: str
    id: str
    key: str | None
    fraction: float
    text: str


class OutcomeRef(msgspec.Struct, frozen=True, tag="parcel", tag_field="kind"):
    """In the place of an outcome that is too large to be sent about: the record that has it."""

    command: str
    id: str
    ref: str


Told = Outcome[Any] | Progress | OutcomeRef
"""What is sent to an inbox, and to those who follow."""


def failure_of(error: BaseException) -> Failure:
    """What is recorded and sent of what a handler raised."""
    name = printable(type(error).__qualname__)
    if not isinstance(error, CommandError):
        return Failure(name, "error", text_of(error), None, final=False)
    # A subclass may have been made without `CommandError.__init__`, and with values of any type.
    message = getattr(error, "message", None)
    said = " ".join(map(text_of, error.args)) if message is None else text_of(message)
    final = bool(getattr(error, "final", True))
    return Failure(name, text_of(error.code), said, _plain(getattr(error, "data", None)), final)


def refused(error: BaseException, code: str, *, final: bool = True) -> Failure:
    """A failure that is telex's own."""
    return Failure(type(error).__name__, code, text_of(error), final=final)


def _plain(data: object) -> object:
    """What a handler gave as ``data``, as every sender gets it: plain, or text where it has no JSON form."""
    try:
        return from_json(to_json(data))
    except Exception:  # noqa: BLE001  # the error that carries it is told all the same
        return shown(data)


def tells_all(outcome: Outcome[Any]) -> bool:
    """Whether those who follow hear of it: not of what never was the command's own outcome."""
    return outcome.error is None or outcome.error.code not in (CONFLICT, REFUSED)
