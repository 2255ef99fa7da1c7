"""`KeyLeases`: the asynchronous shell around `telex.once.machine`: it reads a record, asks `step`, and writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from time import monotonic, time

import msgspec

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
from telex.once.options import OnceOptions
from telex.once.store import OnceStore, OnceTransaction
from telex.process.supervision import describe, is_end
from telex.process.tasks import start_task

logger: logging.Logger = logging.getLogger("telex.commands")
Peek = Callable[[str, str], Record | None]
MAX_POLL_SECONDS = 0.25
"""The time between two reads of a record that another process works on; less when its lease is short."""


class KeyCounts(msgspec.Struct):
    """The counts of what happened to the keys of a command in this process, as in `telex.CommandStatistics`."""

    executed: int = 0
    replayed: int = 0
    waited: int = 0
    conflicted: int = 0
    taken_over: int = 0
    fenced: int = 0


class KeyLeases:
    """The keys of one command, in a store."""

    def __init__(self, command: str, options: OnceOptions, store: OnceStore, counts: KeyCounts) -> None:
        self.bucket: str = f"once:{command}"
        self.options: OnceOptions = options
        self.store: OnceStore = store
        self.counts: KeyCounts = counts
        self.poll_seconds: float = MAX_POLL_SECONDS
        self._peek: Peek | None = getattr(store, "peek", None)
        self.held: dict[Lease, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._process = token_hex(8)
        self._numbers = count(1)

    @property
    def is_local(self) -> bool:
        """True when the records are in this process, so that no other process has a key."""
        return self._peek is not None

    # -- records

    async def read(self, key: str) -> tuple[Entry, int] | None:
        """Return the entry of a key, expired or not, and its revision. Raises `EngineFailed`."""
        record = await self.store.get(self.bucket, key)
        return None if record is None else (decode(record.value), record.revision)

    async def live(self, key: str) -> tuple[Entry, int] | None:
        """As `read`; None for an outcome that has expired."""
        found = await self.read(key)
        return None if found is None or (found[0].ended and found[0].expires <= time()) else found

    def peek(self, key: str, fingerprint: str) -> Entry | None:
        """Return the outcome of a key without waiting. None when the store cannot be read without waiting, or when the
        outcome is not in the record itself. Raises `KeyError` when the key was used with other content.
        """
        record = None if self._peek is None else self._peek(self.bucket, key)
        entry = None if record is None else decode(record.value)
        if entry is None or not entry.ended or entry.expires <= time() or entry.ref:
            return None
        if entry.fingerprint != fingerprint:
            raise KeyError(key)
        return entry

    async def write(self, key: str, entry: Entry, revision: int) -> int | None:
        """Put ``entry`` in the place of ``revision``: the new revision, or None when another writer was first. Raises
        `EngineFailed`, unless the record shows that the store has written and that only its answer was lost.

        A record without an outcome never expires: a clock that is set would take its key from the worker.
        """
        value = encode(entry)
        try:
            return await self.store.put(self.bucket, key, value, revision, entry.expires or None)
        except EngineFailed:
            record = await self.store.get(self.bucket, key)
            if record is not None and record.value == value and record.revision != revision:
                return record.revision
            raise

    # -- leases

    def owner(self) -> str:
        """Return a new token, for one attempt."""
        return f"{self._process}-{next(self._numbers)}"

    async def claim(
        self, key: str, fingerprint: str, owner: str, on_lost: Callable[[], object]
    ) -> Lease | Entry | None:
        """Lease a key. Return its outcome instead when it has one, and None when it was used with other content.

        While another worker has the key this waits for its outcome, or until its lease has run out by the clock of this
        process. ``on_lost`` is called when the lease is lost. After a cancelled call the key may be leased: the same
        ``owner`` may call again. Raises `EngineFailed` when the store cannot be reached: then nothing may be run.
        """
        options = self.options
        seen: LeaseObservation | None = None
        record: Record | None = None  # most keys are new: try to create the record before reading it
        waited = False
        while True:
            entry, revision, lapsed = None, 0, False
            if record is not None:
                entry, revision = decode(record.value), record.revision
                now = monotonic()
                seen = watch(seen, revision, now)
                lapsed = seen.lapsed(entry.lease, now)
            event = Claim(fingerprint, owner, options.lease, options.max_attempts, options.keep, lapsed)
            decision = step(entry, event, time())
            if isinstance(decision, Write):
                written = await self.write(key, decision.entry, revision)
                if written is not None:
                    if decision.entry.ended:
                        return decision.entry
                    self.counts.taken_over += decision.why == "taken_over"
                    return self._lease(key, decision.entry, written, on_lost)
            elif decision is not Answer.WAIT:
                return None if decision is Answer.CONFLICT else entry
            else:
                self.counts.waited += not waited
                waited = True
                await asyncio.sleep(min(self.poll_seconds, (options if entry is None else entry).lease / 4))
            record = await self.store.get(self.bucket, key)

    def _lease(self, key: str, entry: Entry, revision: int, on_lost: Callable[[], object]) -> Lease:
        lease = Lease(self, key, entry, revision, on_lost)
        self.held[lease] = None
        if self._timer is None:
            self._renew_due()
        return lease

    def _renew_due(self) -> None:
        now = monotonic()
        try:
            for lease in self.held:
                lease.renew(now)
        finally:  # one timer for all leases
            later = asyncio.get_running_loop().call_later
            self._timer = later(self.options.lease / 8, self._renew_due) if self.held else None

    def forget(self, lease: Lease) -> None:
        """Renew a lease no more."""
        self.held.pop(lease, None)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Lease:
    """A key that this process works on, until the key has an outcome, is given back, or is lost."""

    __slots__ = ("_key", "_leases", "_on_lost", "_revision", "entry", "fence", "lost", "renewed", "renewing")

    def __init__(self, leases: KeyLeases, key: str, entry: Entry, revision: int, on_lost: Callable[[], object]) -> None:
        self.entry: Entry = entry
        self.fence: int = revision
        self.lost: bool = False
        self.renewed: float = monotonic()
        """The time at which the last successful renewal was begun."""
        self.renewing: asyncio.Task[None] | None = None
        self._leases = leases
        self._key = key
        self._revision = revision
        self._on_lost: Callable[[], object] | None = on_lost

    def renew(self, now: float) -> None:
        """Begin to renew the lease if a quarter of it has passed."""
        if self.renewing is None and now - self.renewed > self.entry.lease / 4:
            self.renewing = start_task(self._renew(), name=f"telex renews {self._key}")

    async def _renew(self) -> None:
        now = monotonic()  # not the time of `renew`: other tasks may have run since
        try:
            if await self.put(Renew(self.entry.owner)) is not None:
                self.renewed = now
        except BaseException as error:  # tried again while the lease lasts
            if is_end(error):
                raise
            where = (self._key, self._leases.bucket, describe(error))
            logger.error("the lease of key %r of %s was not renewed: %s", *where)
        finally:
            self.renewing = None
        # While the store cannot be reached, the key is this worker's until the lease is over by its own clock.
        if monotonic() - self.renewed > self.entry.lease:
            self.lost = True
        if self.lost and self._on_lost is not None:
            self._on_lost()

    async def stop(self) -> None:
        """Renew no more, and wait for a renewal that is under way: it changes the revision."""
        self._on_lost = None
        self._leases.forget(self)
        if self.renewing is not None:
            await asyncio.wait([self.renewing])

    async def complete_in(self, tx: OnceTransaction, result: Result, ref: str = "") -> Entry | None:
        """Record a result when ``tx`` commits, after `stop`. None when the key is lost: roll back then."""
        leases = self._leases
        decision = step(self.entry, Complete(self.entry.owner, result, leases.options.keep, ref), time())
        if not isinstance(decision, Write):
            return None
        entry = decision.entry
        if await tx.put(leases.bucket, self._key, encode(entry), self._revision, entry.expires) is None:
            self.lost = True
            return None
        return entry

    async def put(self, event: Renew | Complete | Fail | GiveBack) -> Entry | None:
        """Record an event, after `stop` unless it is a renewal. Return the entry that is recorded then; None when the
        key is lost. Raises `EngineFailed`.
        """
        while True:
            decision = step(self.entry, event, time())
            if not isinstance(decision, Write):
                break
            written = await self._leases.write(self._key, decision.entry, self._revision)
            if written is not None:
                self._revision, self.entry = written, decision.entry
                return decision.entry
            # An earlier write of this worker that seemed to fail may have been done: the owner of the record counts.
            found = await self._leases.read(self._key)
            if found is None or found[1] == self._revision or found[0].owner != self.entry.owner:
                break
            self.entry, self._revision = found
            if self.entry.ended:
                return self.entry
        self.lost = True
        self._leases.counts.fenced += 1
        return None
