"""The state machine of a command that runs once: pure functions of the record, an event, and the time. The table of
transitions is in ``docs/once.md``.

A key has one `Entry`, or none (ABSENT), in a record that changes only by compare-and-set. `step` returns the entry to
write. The writer passes the revision that it read. When the record has another revision, the writer reads again and
calls `step` again. So one of all concurrent writers wins, and the revision that it wrote is its fencing token.

No function here compares the clocks of two machines. A waiting process treats a worker as dead when its own
`LeaseObservation` shows the same revision for longer than the lease, by its own monotonic clock.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import Literal

import msgspec

from telex.codec.content import to_canonical

State = Literal["running", "released", "done", "failed"]
Result = msgspec.Raw | msgspec.UnsetType
EXHAUSTED = "attempts_exhausted"
"""The error code of a command whose last allowed attempt had no outcome."""


class Failure(msgspec.Struct, frozen=True):
    """The error of a command: ``type`` is the class name of the exception, ``code`` a word for programs, ``message``
    text for people, and ``data`` plain data of the handler. After a ``final`` error there is no further attempt.
    """

    type: str
    code: str
    message: str
    data: object = None
    final: bool = True


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record of a key.

    ``owner`` is the token of the worker of the current or last attempt. ``lease`` is in seconds. ``result`` is JSON; a
    large result is in the record that ``ref`` names. ``completed`` and ``expires`` are in seconds since 1970; from
    ``expires`` on the key counts as new. ``spared`` is the number of attempts that do not count, because the hubs of
    their workers were closed.
    """

    state: State
    fingerprint: str
    attempt: int
    owner: str
    lease: float
    result: Result = msgspec.UNSET
    ref: str = ""
    error: Failure | None = None
    completed: float = 0.0
    expires: float = 0.0
    spared: int = 0

    @property
    def counted(self) -> int:
        """The number of attempts that count towards ``max_attempts``."""
        return self.attempt - self.spared

    @property
    def ended(self) -> bool:
        """True when the key has an outcome."""
        return self.state in ("done", "failed")


# -- events


class Claim(msgspec.Struct, frozen=True):
    """A worker asks to run the command. With ``lapsed``, it has seen the lease of the owner run out."""

    fingerprint: str
    owner: str
    lease: float
    max_attempts: int
    keep: float
    lapsed: bool = False


class Renew(msgspec.Struct, frozen=True):
    """The worker ``owner`` renews its lease."""

    owner: str


class Complete(msgspec.Struct, frozen=True):
    """The worker ``owner`` has the result, which is kept for ``keep`` seconds."""

    owner: str
    result: Result
    keep: float
    ref: str = ""


class Fail(msgspec.Struct, frozen=True):
    """The handler of the worker ``owner`` raised. An error that is not final releases the key, up to
    ``max_attempts``.
    """

    owner: str
    error: Failure
    keep: float
    max_attempts: int


class GiveBack(msgspec.Struct, frozen=True):
    """The hub of the worker ``owner`` closes before the command has ended. The attempt does not count."""

    owner: str


Event = Claim | Renew | Complete | Fail | GiveBack


# -- decisions


class Write(msgspec.Struct, frozen=True):
    """A decision: write ``entry``. ``why`` names the transition."""

    entry: Entry
    why: Literal["created", "taken_over", "retried", "renewed", "done", "failed", "released", "exhausted"]


class Answer(Enum):
    """A decision: write nothing."""

    REPLAY = "replay"
    """The key has an outcome: return it."""
    WAIT = "wait"
    """Another worker runs the command: read the record again later, and claim again."""
    CONFLICT = "conflict"
    """The key was used with other content."""
    FENCED = "fenced"
    """This worker has lost the key: discard its result."""


Decision = Write | Answer


def step(entry: Entry | None, event: Event, now: float) -> Decision:
    """Decide about ``event`` for a key whose record is ``entry``. ``now`` is in seconds since 1970."""
    if entry is not None and entry.ended and entry.expires <= now:
        entry = None
    if isinstance(event, Claim):
        return _claim(entry, event, now)
    if entry is None or entry.state != "running" or entry.owner != event.owner:
        return Answer.FENCED
    if isinstance(event, Renew):
        return Write(entry, "renewed")
    if isinstance(event, Complete):
        return Write(_ended(entry, "done", now, event.keep, result=event.result, ref=event.ref), "done")
    if isinstance(event, GiveBack):
        return Write(msgspec.structs.replace(entry, state="released", spared=entry.spared + 1), "released")
    if event.error.final:
        return Write(_ended(entry, "failed", now, event.keep, error=event.error), "failed")
    if entry.counted >= event.max_attempts:
        return _exhausted(entry, event.error, event.keep, now)
    return Write(msgspec.structs.replace(entry, state="released", error=event.error), "released")


def _claim(entry: Entry | None, event: Claim, now: float) -> Decision:
    if entry is None:
        return Write(Entry("running", event.fingerprint, 1, event.owner, event.lease), "created")
    if entry.fingerprint != event.fingerprint:
        return Answer.CONFLICT
    if entry.ended:
        return Answer.REPLAY
    if entry.state == "running" and entry.owner != event.owner and not event.lapsed:
        return Answer.WAIT
    if entry.state == "running" and entry.owner == event.owner:
        return Write(entry, "renewed")  # the worker's own claim, whose answer was lost
    if entry.counted >= event.max_attempts:
        return _exhausted(entry, entry.error, event.keep, now)
    again = msgspec.structs.replace(
        entry, state="running", attempt=entry.attempt + 1, owner=event.owner, lease=event.lease
    )
    return Write(again, "retried" if entry.state == "released" else "taken_over")


def _exhausted(entry: Entry, last: Failure | None, keep: float, now: float) -> Write:
    times = f"it was begun {entry.attempt} time{'' if entry.attempt == 1 else 's'}"
    if last is None:
        error = Failure("AttemptsExhausted", EXHAUSTED, f"{times}, and its workers died or stalled")
    else:
        text = f"{times}, and the last error was {last.type}: {last.message}"
        error = Failure(last.type, EXHAUSTED, text, last.data)
    return Write(_ended(entry, "failed", now, keep, error=error), "exhausted")


def _ended(
    entry: Entry,
    state: State,
    now: float,
    keep: float,
    *,
    result: Result = msgspec.UNSET,
    ref: str = "",
    error: Failure | None = None,
) -> Entry:
    attempt, owner, lease = entry.attempt, entry.owner, entry.lease
    return Entry(state, entry.fingerprint, attempt, owner, lease, result, ref, error, now, now + keep, entry.spared)


# -- dead workers


class LeaseObservation(msgspec.Struct, frozen=True):
    """The time ``since`` when a record has had the same revision, by the monotonic clock of the waiting process."""

    revision: int
    since: float

    def lapsed(self, lease: float, now: float) -> bool:
        """Return true when the owner has not renewed for ``lease`` seconds. ``now`` is by the clock of ``since``."""
        return now - self.since > lease


def watch(before: LeaseObservation | None, revision: int, now: float) -> LeaseObservation:
    """Return the observation after another read: ``before`` if the revision is the same, else one that begins
    ``now``.
    """
    return before if before is not None and before.revision == revision else LeaseObservation(revision, now)


# -- fingerprints


def fingerprint(command: str, version: int, content: object) -> str:
    """Return a text that differs for two different commands with the same key: the command's name, the ``version`` of
    the content, and the digest of the content. Raises `TypeError`, `ValueError` for content without a JSON form.
    """
    return fingerprint_of(command, version, digest_of(content))


def digest_of(content: object) -> str:
    """Return the SHA-256 of content as canonical JSON, which is the same in every process. Raises as `fingerprint`."""
    return sha256(to_canonical(content)).hexdigest()


def fingerprint_of(command: str, version: int, digest: str) -> str:
    """Return the fingerprint of content whose digest is known."""
    # the version and the digest contain no space, so no two fingerprints are equal
    return f"{command} {version} {digest}"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """Return an entry as the bytes of a record."""
    return _encoder.encode(entry)


def decode(value: bytes) -> Entry:
    """Return the entry in the bytes of a record. Raises `ValueError` for other bytes."""
    return _decoder.decode(value)
