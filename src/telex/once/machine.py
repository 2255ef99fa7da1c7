"""The state machine of a command that runs once: pure functions of the record, an event, and the time. The table is in
``docs/once.md``.

A key has one `Entry`, or none (ABSENT), in a record that changes by compare-and-set alone. `step` returns the entry to
write. The writer passes the revision that it read; when the record has another revision, it reads again and calls
`step` again. So one of all concurrent writers wins, and the revision that it wrote is its fencing token.

Nothing here compares the clocks of two machines. A waiting process takes a worker for dead when its own
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
"""The code of the error of a command whose last allowed attempt had no outcome."""


class Failure(msgspec.Struct, frozen=True):
    """The error of a command: the ``type``, which is the name of the exception's class; a ``code`` for programs; a
    ``message`` for people; and plain ``data`` of the handler. After a ``final`` error there is no further attempt.
    """

    type: str
    code: str
    message: str
    data: object = None
    final: bool = True


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record of a key.

    ``owner`` is the token of the attempt that runs, or ran last. ``lease`` is in seconds. ``result`` is JSON; a large
    result is in the record that ``ref`` names. ``completed`` and ``expires`` are in seconds since 1970; from
    ``expires`` on the key counts as new. ``spared`` attempts do not count, because their workers were closed.
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
        """The number of attempts that count."""
        return self.attempt - self.spared

    @property
    def ended(self) -> bool:
        """True when it has an outcome."""
        return self.state in ("done", "failed")


# -- events


class Claim(msgspec.Struct, frozen=True):
    """A worker asks to run the command. ``lapsed``: it has seen the lease of the owner run out."""

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
    """The worker ``owner`` has the result, to be kept for ``keep`` seconds."""

    owner: str
    result: Result
    keep: float
    ref: str = ""


class Fail(msgspec.Struct, frozen=True):
    """The worker ``owner`` failed. An error that is not final releases the key, up to ``max_attempts``."""

    owner: str
    error: Failure
    keep: float
    max_attempts: int


class GiveBack(msgspec.Struct, frozen=True):
    """The worker ``owner`` is closed before the command ended: this attempt does not count."""

    owner: str


Event = Claim | Renew | Complete | Fail | GiveBack


# -- decisions


class Write(msgspec.Struct, frozen=True):
    """Write ``entry``; ``why`` names the transition."""

    entry: Entry
    why: Literal["created", "taken_over", "retried", "renewed", "done", "failed", "released", "exhausted"]


class Answer(Enum):
    """Write nothing."""

    REPLAY = "replay"
    """The key has an outcome: return it."""
    WAIT = "wait"
    """Another worker runs the command: watch the record, and claim again."""
    CONFLICT = "conflict"
    """The key was used with other content."""
    FENCED = "fenced"
    """The key is not this worker's any more: its result is discarded."""


Decision = Write | Answer


def step(entry: Entry | None, event: Event, now: float) -> Decision:
    """Decide about ``event`` when ``entry`` is recorded. ``now`` is in seconds since 1970."""
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
        return Write(entry, "renewed")  # its own claim, whose answer was lost
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


# -- whether a worker is dead


class LeaseObservation(msgspec.Struct, frozen=True):
    """The time ``since`` when a record has had the same revision, by the waiter's own monotonic clock."""

    revision: int
    since: float

    def lapsed(self, lease: float, now: float) -> bool:
        """Return true when the owner has not renewed its lease for ``lease`` seconds; ``now`` by the same clock."""
        return now - self.since > lease


def watch(before: LeaseObservation | None, revision: int, now: float) -> LeaseObservation:
    """Return the observation after a read: ``before`` if the revision is the same, else one that begins ``now``."""
    return before if before is not None and before.revision == revision else LeaseObservation(revision, now)


# -- fingerprints


def fingerprint(command: str, version: int, content: object) -> str:
    """Return the text that tells a repeat from another command with the same key: the name, the ``version`` of the
    content, and the digest of the content as it was sent. Raises `TypeError`, `ValueError` for content without a JSON
    form.
    """
    return fingerprint_of(command, version, digest_of(content))


def digest_of(content: object) -> str:
    """Return the SHA-256 of content as JSON with sorted keys and sets, which is the same in every process. Raises as
    `fingerprint`.
    """
    return sha256(to_canonical(content)).hexdigest()


def fingerprint_of(command: str, version: int, digest: str) -> str:
    """As `fingerprint`, for content whose digest is known."""
    return f"{command} {version} {digest}"  # the version and the digest have no space: no two are alike


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """Return the bytes of a record."""
    return _encoder.encode(entry)


def decode(value: bytes) -> Entry:
    """Return the entry in a record. Raises `ValueError` for other bytes."""
    return _decoder.decode(value)
