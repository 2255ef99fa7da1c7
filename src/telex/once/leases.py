"""`KeyLeases`: leases the keys of commands that run once. It reads a record, asks `telex.once.machine.step`, and
writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from time import monotonic, time

import msgspec

from telex.engines.contract.records import Record
from telex.errors import EngineFailed, reason_of
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
from telex.process.supervision import is_end
from telex.process.tasks import start_task

logger: logging.Logger = logging.getLogger("telex.commands")
Peek = Callable[[str, str], Record | None]
MAX_POLL_SECONDS = 0.25
"""The longest time between two reads of a record whose lease another process has; a short lease is read more often."""


class KeyCounts(msgspec.Struct):
    """Counts of the keys of one command in this process, as in `telex.CommandStatistics`."""

    executed: int = 0
    replayed: int = 0
    waited: int = 0
    conflicted: int = 0
    taken_over: int = 0
    fenced: int = 0


class KeyLeases:
    """The leases of this process on the keys of one command, in a store of records."""

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

    # -- records

    async def read(self, key: str) -> tuple[Entry, int] | None:
        """Return the record of a key as an `Entry`, expired or not, and its revision; None when there is none. Raises
        `EngineFailed`.
        """
        record = await self.store.get(self.bucket, key)
        return None if record is None else (decode(record.value), record.revision)

    async def live(self, key: str) -> tuple[Entry, int] | None:
        """Return the record of a key and its revision, as `read` does, but None when its outcome has expired."""
        found = await self.read(key)
        return None if found is None or (found[0].ended and found[0].expires <= time()) else found

    def peek(self, key: str, fingerprint: str) -> Entry | None:
        """Return the outcome of a key without waiting. None when the store cannot be read without waiting, or when the
        result is not in the record itself. Raises `KeyError` when the key was used with other content.
        """
        record = None if self._peek is None else self._peek(self.bucket, key)
        entry = None if record is None else decode(record.value)
        if entry is None or not entry.ended or entry.expires <= time() or entry.ref:
            return None
        if entry.fingerprint != fingerprint:
            raise KeyError(key)
        return entry

    async def write(self, key: str, entry: Entry, revision: int) -> int | None:
        """Write ``entry`` if the record's revision is still ``revision``. Return the new revision, or None when another
        writer was first. Raises `EngineFailed`, unless reading the record again shows that it was written.

        A record without an outcome never expires: otherwise a clock that is set would take the key from its worker.
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
        """Return a new token, which names the worker of one attempt."""
        return f"{self._process}-{next(self._numbers)}"

    async def claim(
        self, key: str, fingerprint: str, owner: str, on_lost: Callable[[], object]
    ) -> Lease | Entry | None:
        """Lease a key and return the `Lease`. Return the recorded `Entry` when the key has an outcome, and None when
        the key was used with other content.

        While another worker has the lease, wait for its outcome, or until the lease has run out by the clock of this
        process. ``on_lost`` is called when this worker loses the lease. After a cancelled call the key may be leased:
        call again with the same ``owner``. Raises `EngineFailed` when the store cannot be reached; the command must not
        run then.
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
        finally:  # one timer renews all leases
            later = asyncio.get_running_loop().call_later
            self._timer = later(self.options.lease / 8, self._renew_due) if self.held else None

    def forget(self, lease: Lease) -> None:
        """Stop renewing a lease."""
        self.held.pop(lease, None)

    def close(self) -> None:
        """Stop the timer of the renewals."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Lease:
    """The lease of one key by this process, until an outcome is recorded, or the key is given back or lost."""

    __slots__ = ("_key", "_leases", "_on_lost", "_revision", "entry", "fence", "lost", "renewed", "renewing")

    def __init__(self, leases: KeyLeases, key: str, entry: Entry, revision: int, on_lost: Callable[[], object]) -> None:
        self.entry: Entry = entry
        self.fence: int = revision
        self.lost: bool = False
        self.renewed: float = monotonic()
        """The start of the last successful renewal, by the monotonic clock."""
        self.renewing: asyncio.Task[None] | None = None
        self._leases = leases
        self._key = key
        self._revision = revision
        self._on_lost: Callable[[], object] | None = on_lost

    def renew(self, now: float) -> None:
        """Start renewing the lease if a quarter of it has passed."""
        if self.renewing is None and now - self.renewed > self.entry.lease / 4:
            self.renewing = start_task(self._renew(), name=f"telex renews {self._key}")

    async def _renew(self) -> None:
        now = monotonic()  # read again, since other tasks may have run after `renew`
        try:
            if await self.put(Renew(self.entry.owner)) is not None:
                self.renewed = now
        except BaseException as error:  # the renewal is tried again while the lease lasts
            if is_end(error):
                raise
            where = (self._key, self._leases.bucket, reason_of(error))
            logger.error("the lease of key %r of %s was not renewed: %s", *where)
        finally:
            self.renewing = None
        # While the store cannot be reached, this worker keeps the key until the lease has run out by its own clock.
        if monotonic() - self.renewed > self.entry.lease:
            self.lost = True
        if self.lost:
            self._leases.forget(self)
            on_lost, self._on_lost = self._on_lost, None  # once: the handler may await while it cleans up
            if on_lost is not None:
                on_lost()

    async def stop(self) -> None:
        """Stop renewing, and wait for a renewal that runs: it changes the revision."""
        self._on_lost = None
        self._leases.forget(self)
        if self.renewing is not None:
            await asyncio.wait([self.renewing])

    async def complete_in(self, tx: OnceTransaction, result: Result, ref: str = "") -> Entry | None:
        """Record a result when ``tx`` commits, after `stop`. Return the written entry; None when the key is lost, and
        the caller has to roll back.
        """
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
        """Write a renewal or an outcome to the record of the key. Call `stop` before, unless ``event`` is a `Renew`.
        Return the written entry, or None when the key is lost. Raises `EngineFailed`.
        """
        while True:
            decision = step(self.entry, event, time())
            if not isinstance(decision, Write):
                break
            written = await self._leases.write(self._key, decision.entry, self._revision)
            if written is not None:
                self._revision, self.entry = written, decision.entry
                return decision.entry
            # An earlier write that seemed to fail may have succeeded: compare the owner of the record, not the
            # revision.
            found = await self._leases.read(self._key)
            if found is None or found[1] == self._revision or found[0].owner != self.entry.owner:
                break
            self.entry, self._revision = found
            if self.entry.ended:
                return self.entry
        self.lost = True
        self._leases.counts.fenced += 1
        return None
