"""What becomes of a command that runs once when something happens to it: pure functions of what is recorded, what
happens, and the time. ``docs/once.md`` has the table.

A key has one `Entry`, or none (ABSENT), in a record that is changed by compare-and-set alone. `step` says what is to be
written in its place; who writes it gives the revision that it read, and when that is not the record's any more reads
again and asks again. So of all who act on the same entry one wins, and the revision that it wrote is its fence.

Nothing here compares clocks of two machines. That a worker is dead is seen by the `LeaseObservation` of whoever waits:
the revision stood still for longer than the lease, on the waiter's own monotonic clock.
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
"""The code of the error of a command that was begun as often as it may be, and never came to an end."""


class Failure(msgspec.Struct, frozen=True):
    """Why a command failed: the ``type`` of what was raised, as its class is called; a ``code`` for programs and a
    ``message`` for people; ``data`` that the handler gave, plain. ``final``: trying again would not help.
    """

    type: str
    code: str
    message: str
    data: object = None
    final: bool = True


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is recorded of a key.

    ``owner`` is the token of the attempt that runs, or ran last; ``lease`` in seconds; ``result`` is JSON, or with
    ``ref`` the name of the record that has it. ``completed`` and ``expires`` are seconds since 1970; from ``expires``
    on it is as if there were none. ``spared`` attempts do not count: their workers were closed.
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
        """How many attempts were made that count."""
        return self.attempt - self.spared

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.state in ("done", "failed")


# -- what happens


class Claim(msgspec.Struct, frozen=True):
    """A worker has the command and would run it. ``lapsed``: it has seen the lease of whoever runs it run out."""

    fingerprint: str
    owner: str
    lease: float
    max_attempts: int
    keep: float
    lapsed: bool = False


class Renew(msgspec.Struct, frozen=True):
    """The worker ``owner`` works on it still."""

    owner: str


class Complete(msgspec.Struct, frozen=True):
    """The worker ``owner`` has its result, to be kept for ``keep`` seconds."""

    owner: str
    result: Result
    keep: float
    ref: str = ""


class Fail(msgspec.Struct, frozen=True):
    """The worker ``owner`` failed. An error that is not final gives the key back, while it may be tried again."""

    owner: str
    error: Failure
    keep: float
    max_attempts: int


class GiveBack(msgspec.Struct, frozen=True):
    """The worker ``owner`` is closed before it came to an end. That is no fault of the command: it does not count."""

    owner: str


Event = Claim | Renew | Complete | Fail | GiveBack


# -- what is to be done


class Write(msgspec.Struct, frozen=True):
    """Put ``entry`` in the place of what was read; ``why`` names the edge."""

    entry: Entry
    why: Literal["created", "taken_over", "retried", "renewed", "done", "failed", "released", "exhausted"]


class Answer(Enum):
    """Nothing is to be written."""

    REPLAY = "replay"
    """It has its outcome: give that."""
    WAIT = "wait"
    """Somebody runs it: watch the record, and claim again."""
    CONFLICT = "conflict"
    """The key was used with other content."""
    FENCED = "fenced"
    """It is not this worker's any more: what it has done is of no account."""


Decision = Write | Answer


def step(entry: Entry | None, event: Event, now: float) -> Decision:
    """What to do about ``event`` when ``entry`` is recorded. ``now``, seconds since 1970, is for what has expired."""
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
        return Write(entry, "renewed")  # its own claim, of which it never heard that it was written
    if entry.counted >= event.max_attempts:
        return _exhausted(entry, entry.error, event.keep, now)
    again = msgspec.structs.replace(
        entry, state="running", attempt=entry.attempt + 1, owner=event.owner, lease=event.lease
    )
    return Write(again, "retried" if entry.state == "released" else "taken_over")


def _exhausted(entry: Entry, last: Failure | None, keep: float, now: float) -> Write:
    times = f"it was begun {entry.attempt} times"
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


# -- whether who runs it is dead


class LeaseObservation(msgspec.Struct, frozen=True):
    """Since when, by the waiter's own monotonic clock, a record has had the same revision."""

    revision: int
    since: float

    def lapsed(self, lease: float, now: float) -> bool:
        """Whether whoever should have renewed it within ``lease`` seconds has not; ``now`` by the same clock."""
        return now - self.since > lease


def watch(before: LeaseObservation | None, revision: int, now: float) -> LeaseObservation:
    """The watch after the record was read again: the same while its revision is, or one that begins ``now``."""
    return before if before is not None and before.revision == revision else LeaseObservation(revision, now)


# -- what is the same command


def fingerprint(command: str, version: int, content: object) -> str:
    """What tells a repeat from another command under the same key: the name, the ``version`` of what it takes, and the
    digest of the content as it was sent. Raises `TypeError` or `ValueError` for content that has no JSON form.
    """
    return fingerprint_of(command, version, sha256(to_canonical(content)).hexdigest())


def digest_of(content: object) -> str:
    """SHA-256 of content in JSON with sorted keys and sets: of equal content the same in every process. Raises as
    `fingerprint`.
    """
    return sha256(to_canonical(content)).hexdigest()


def fingerprint_of(command: str, version: int, digest: str) -> str:
    """As `fingerprint`, of content of which the digest is known."""
    return f"{command} {version} {digest}"  # the version and the digest have no space: no two are alike


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """The bytes of a record."""
    return _encoder.encode(entry)


def decode(value: bytes) -> Entry:
    """What `encode` made. Raises `ValueError` for anything else."""
    return _decoder.decode(value)
