"""`KeyLeases`: the asynchronous shell around `telex.once.machine`: it reads, asks what to do, and writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from time import monotonic, time

import msgspec

from telex.commands.spec import OnceOptions
from telex.engines.contract.records import Record
from telex.errors import EngineFailed
from telex.once.machine import (
    Answer,
    Claim,
    Complete,
    Entry,
    Fail,
    GiveBack,
    LeaseObservation,
    Renew,
    Result,
    Write,
    decode,
    encode,
    step,
    watch,
)
from telex.once.store import OnceStore, OnceTransaction
from telex.process.supervision import describe, is_end
from telex.process.tasks import start_task

logger: logging.Logger = logging.getLogger("telex.commands")
Peek = Callable[[str, str], Record | None]
LOOK_SECONDS = 0.25
"""Seconds between two looks at a record that another process works on; less, when its lease is short."""


class KeyCounts(msgspec.Struct):
    """What became of the keys of a command, in this process."""

    executed: int = 0
    replayed: int = 0
    waited: int = 0
    conflicted: int = 0
    taken_over: int = 0
    fenced: int = 0


class KeyLeases:
    """The keys of one command, in a store."""

    def __init__(self, command: str, once: OnceOptions, store: OnceStore, tally: KeyCounts) -> None:
        self.bucket: str = f"once:{command}"
        self.once: OnceOptions = once
        self.store: OnceStore = store
        self.tally: KeyCounts = tally
        self._peek: Peek | None = getattr(store, "peek", None)
        self._held: dict[Lease, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.look_seconds: float = LOOK_SECONDS
        self._owners = (token_hex(8), count(1))  # of this process

    async def read(self, key: str) -> tuple[Entry, int] | None:
        """What is recorded of a key, whether it has expired or not, and its revision."""
        record = await self.store.get(self.bucket, key)
        return None if record is None else (decode(record.value), record.revision)

    @property
    def tells_at_once(self) -> bool:
        """Whether the records are in this process, so that no other one has a key."""
        return self._peek is not None

    async def live(self, key: str) -> tuple[Entry, int] | None:
        """As `read`, and None for an outcome that has expired."""
        found = await self.read(key)
        return None if found is None or (found[0].ended and found[0].expires <= time()) else found

    def replayed(self, key: str, fingerprint: str) -> Entry | None:
        """The outcome of a key, where a store tells it at once and it is in the record itself; None where it has to be
        asked for. Raises `KeyError` when the key was used with other content.
        """
        record = None if self._peek is None else self._peek(self.bucket, key)
        entry = None if record is None else decode(record.value)
        if entry is None or not entry.ended or entry.expires <= time() or entry.ref:
            return None
        if entry.fingerprint != fingerprint:
            raise KeyError(key)
        return entry

    # -- leases

    def forget(self, held: Lease) -> None:
        """It is renewed no more."""
        self._held.pop(held, None)

    def _look(self) -> None:
        # One timer looks after all leases.
        now = monotonic()
        try:
            for held in self._held:
                held.renew(now)
        finally:
            later = asyncio.get_running_loop().call_later
            self._timer = later(self.once.lease / 8, self._look) if self._held else None

    def close(self) -> None:
        """Nothing is held any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- keys

    def owner(self) -> str:
        """A new token, for one attempt."""
        prefix, numbers = self._owners
        return f"{prefix}-{next(numbers)}"

    async def claim(
        self, key: str, fingerprint: str, owner: str, on_lost: Callable[[], object]
    ) -> Lease | Entry | None:
        """Have a key to work on; or its outcome, when it has one; or None, when it was used with other content.

        While another worker has it, this waits: for its outcome, or for its lease to run out as seen by the clock of
        this process. ``on_lost`` is called when what is had is somebody else's. Cancelled, it may have claimed it: the
        same ``owner`` may ask again. Raises `EngineFailed` when the store cannot be reached: then nothing may be run.
        """
        once = self.once
        seen: LeaseObservation | None = None
        waited, first = False, True
        while True:
            # Most keys are new: the first try is to create it, and only when it is there it is read.
            record = None if first else await self.store.get(self.bucket, key)
            first = False
            entry, revision, lapsed = None, 0, False
            if record is not None:
                entry, revision = decode(record.value), record.revision
                now = monotonic()
                seen = watch(seen, revision, now)
                lapsed = seen.lapsed(entry.lease, now)
            event = Claim(fingerprint, owner, once.lease, once.max_attempts, once.keep, lapsed)
            decision = step(entry, event, time())
            if isinstance(decision, Write):
                value, expires = self.form(decision.entry)
                try:
                    written = await self.store.put(self.bucket, key, value, revision, expires)
                except EngineFailed:
                    written = await self.kept(key, value, revision)
                if written is None:
                    continue  # another was first
                if decision.entry.ended:
                    return decision.entry
                self.tally.taken_over += decision.why == "taken_over"
                held = Lease(self, key, decision.entry, written, on_lost)
                self._held[held] = None
                if self._timer is None:
                    self._look()
                return held
            if decision is not Answer.WAIT:
                return None if decision is Answer.CONFLICT else entry
            self.tally.waited += not waited
            waited = True
            await asyncio.sleep(min(self.look_seconds, once.lease / 4 if entry is None else entry.lease / 4))

    def form(self, entry: Entry) -> tuple[bytes, float | None]:
        """The value of a record, and from when on it may be forgotten: never without an outcome, or a clock that is set
        would take a key from its worker.
        """
        return encode(entry), entry.expires or None

    async def kept(self, key: str, value: bytes, revision: int) -> int | None:
        """When a store has failed to say whether it put ``value`` in the place of ``revision``: the revision it has, if
        it did. An answer that was lost is no reason to run again. In an except clause, and raises what was caught.
        """
        record = await self.store.get(self.bucket, key)
        if record is not None and record.value == value and record.revision != revision:
            return record.revision
        raise  # noqa: PLE0704  # what the caller has caught


class Lease:
    """A key that this process works on, until it has an outcome, is given back, or is lost."""

    __slots__ = ("_claims", "_key", "_on_lost", "_revision", "entry", "fence", "lost", "renewed", "renewing")

    def __init__(self, claims: KeyLeases, key: str, entry: Entry, revision: int, on_lost: Callable[[], object]) -> None:
        self.entry: Entry = entry
        self.fence: int = revision
        self.lost: bool = False
        self.renewed: float = monotonic()  # when it was asked for last
        self.renewing: asyncio.Task[None] | None = None
        self._claims = claims
        self._key = key
        self._revision = revision
        self._on_lost: Callable[[], object] | None = on_lost

    # -- the lease

    def renew(self, now: float) -> None:
        """Renew the lease, if it is time to."""
        if self.renewing is None and now - self.renewed > self.entry.lease / 4:
            self.renewing = start_task(self._renew(), name=f"telex renews {self._key}")

    async def _renew(self) -> None:
        now = monotonic()  # not when this was asked for: others may have had the loop since
        try:
            if await self.put(Renew(self.entry.owner)) is not None:
                self.renewed = now
        except BaseException as error:  # whatever it is, it is tried again while the lease lasts
            if is_end(error):
                raise
            where = (self._key, self._claims.bucket, describe(error))
            logger.error("the lease of key %r of %s was not renewed: %s", *where)
        finally:
            self.renewing = None
        # For as long as the store cannot be reached, it is this worker's until the lease is over by its own clock.
        if monotonic() - self.renewed > self.entry.lease:
            self.lost = True
        if self.lost and self._on_lost is not None:
            self._on_lost()

    async def stop(self) -> None:
        """Renew no more. A renewal that is under way is let finish: it would change the revision behind the back of
        what is written next.
        """
        self._on_lost = None
        self._claims.forget(self)
        if self.renewing is not None:
            await asyncio.wait([self.renewing])

    # -- its end

    async def complete_in(self, tx: OnceTransaction, result: Result, ref: str = "") -> Entry | None:
        """As `complete`, when ``tx`` commits. After `stop`."""
        decision = step(self.entry, Complete(self.entry.owner, result, self._claims.once.keep, ref), time())
        if not isinstance(decision, Write):
            return None
        entry = decision.entry
        written = await tx.put(self._claims.bucket, self._key, encode(entry), self._revision, entry.expires)
        if written is None:
            self.lost = True
            return None
        return entry

    async def put(self, event: Renew | Complete | Fail | GiveBack) -> Entry | None:
        """Record what has happened; what is recorded then, or None when it is not this worker's to say any more.
        Raises `EngineFailed`. Not while a renewal is under way: after `stop`.
        """
        while True:
            decision = step(self.entry, event, time())
            if not isinstance(decision, Write):
                break
            claims = self._claims
            value, expires = claims.form(decision.entry)
            try:
                written = await claims.store.put(claims.bucket, self._key, value, self._revision, expires)
            except EngineFailed:
                written = await claims.kept(self._key, value, self._revision)
            if written is not None:
                self._revision, self.entry = written, decision.entry
                return decision.entry
            # A write of this worker's own that was given up as failed may have been done after all: what counts is
            # whose the record is now.
            found = await self._claims.read(self._key)
            if found is None or found[1] == self._revision or found[0].owner != self.entry.owner:
                break
            self.entry, self._revision = found
            if self.entry.ended:
                return self.entry
        self.lost = True
        self._claims.tally.fenced += 1
        return None
