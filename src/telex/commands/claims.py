"""`Claims`: the asynchronous shell around `telex.once.machine`. It reads, asks what to do, and writes; that is all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from secrets import token_hex
from time import time

import msgspec

from telex.commands.command import Once
from telex.errors import EngineFailed
from telex.once.machine import (
    Answer,
    Claim,
    Complete,
    Entry,
    Event,
    Fail,
    Failure,
    Renew,
    Result,
    Watch,
    Write,
    decode,
    encode,
    step,
    watch,
)
from telex.once.store import OnceStore, OnceTransaction

logger: logging.Logger = logging.getLogger("telex.commands")
LOOK = 0.25
"""Seconds between two looks at a record that another process works on; less, when its lease is short."""


class Tally(msgspec.Struct):
    """What became of the keys of a command, in this process."""

    executed: int = 0
    replayed: int = 0
    waited: int = 0
    conflicted: int = 0
    taken_over: int = 0
    fenced: int = 0


class Claims:
    """The keys of one command, in a store."""

    def __init__(self, command: str, once: Once, store: OnceStore, tally: Tally) -> None:
        self.bucket: str = f"once:{command}"
        self.once: Once = once
        self.store: OnceStore = store
        self.tally: Tally = tally

    async def read(self, key: str) -> tuple[Entry, int] | None:
        """What is recorded of a key, whether it has expired or not, and its revision."""
        record = await self.store.get(self.bucket, key)
        return None if record is None else (decode(record.value), record.revision)

    async def claim(self, key: str, fingerprint: str) -> Held | Entry | None:
        """Have a key to work on; or its outcome, when it has one; or None, when it was used with other content.

        While another worker has it, this waits: for its outcome, or for its lease to run out as seen by the clock of
        this process. Raises `EngineFailed` when the store cannot be reached: then nothing may be run.
        """
        once, owner, clock = self.once, token_hex(8), asyncio.get_running_loop().time
        seen: Watch | None = None
        waited = False
        while True:
            entry, revision = await self.read(key) or (None, 0)
            lapsed = False
            if entry is not None:
                seen = watch(seen, revision, clock())
                lapsed = seen.lapsed(entry.lease, clock())
            event = Claim(fingerprint, owner, once.lease, once.max_attempts, once.keep, lapsed)
            decision = step(entry, event, time())
            if isinstance(decision, Write):
                written = await self.write(key, decision.entry, revision)
                if written is None:
                    continue  # another was first
                if decision.entry.ended:
                    return decision.entry
                self.tally.taken_over += decision.why == "taken_over"
                return Held(self, key, decision.entry, written)
            if decision is not Answer.WAIT:
                return None if decision is Answer.CONFLICT else entry
            self.tally.waited += not waited
            waited = True
            await asyncio.sleep(min(LOOK, once.lease / 4 if entry is None else entry.lease / 4))

    async def write(self, key: str, entry: Entry, revision: int) -> int | None:
        """Put an entry in the place of what has ``revision``; None when that is not there any more. When the store
        does not say whether it did, the record is read: an answer that was lost is no reason to run again.
        """
        # What nobody comes back to is forgotten, too, as late as an outcome would be.
        value, expires = encode(entry), entry.expires or time() + entry.lease + self.once.keep
        try:
            return await self.store.put(self.bucket, key, value, revision, expires)
        except EngineFailed:
            record = await self.store.get(self.bucket, key)
            if record is not None and record.value == value and record.revision != revision:
                return record.revision
            raise


class Held:
    """A key that this process works on, until it has an outcome, is given back, or is lost."""

    def __init__(self, claims: Claims, key: str, entry: Entry, revision: int) -> None:
        self.entry: Entry = entry
        self.fence: int = revision
        self.lost: bool = False
        self._claims = claims
        self._key = key
        self._revision = revision
        self._busy = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._on_lost: Callable[[], object] | None = None

    # -- the lease

    def keep(self, on_lost: Callable[[], object]) -> None:
        """Renew the lease from now on, at every third of it; ``on_lost`` is called when it is somebody else's, or may
        be, since the store could not be reached for as long as it lasts.
        """
        self._on_lost = on_lost
        self._renewed = asyncio.get_running_loop().time()
        self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.entry.lease / 3, self._begin_renewing)

    def _begin_renewing(self) -> None:
        self._renewing = asyncio.create_task(self._renew(), name=f"telex renews {self._key}")

    async def _renew(self) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            renewed = await self._put(Renew(self.entry.owner))
        except EngineFailed as error:
            renewed = None
            logger.error("the lease of key %r of %s was not renewed: %s", self._key, self._claims.bucket, error)
        if renewed is not None:
            self._renewed = began
        lost = renewed is None and (self.lost or clock() - self._renewed > self.entry.lease)
        if not lost:
            self._arm()
        elif self._on_lost is not None:
            self.lost = True
            self._on_lost()

    async def stop(self) -> None:
        """Renew no more."""
        self._on_lost = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._renewing is not None and not self._renewing.done():
            # It is let finish: a write that is under way would change the revision behind the next one's back.
            await asyncio.wait([self._renewing])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- its end

    async def complete(self, result: Result, ref: str = "") -> Entry | None:
        """Record the result; what is recorded, or None when it is not this worker's to say any more."""
        return await self._put(Complete(self.entry.owner, result, self._claims.once.keep, ref))

    async def complete_in(self, tx: OnceTransaction, result: Result, ref: str = "") -> Entry | None:
        """As `complete`, when ``tx`` commits."""
        decision = step(self.entry, Complete(self.entry.owner, result, self._claims.once.keep, ref), time())
        if not isinstance(decision, Write):
            return None
        async with self._busy:
            entry = decision.entry
            put = tx.put(self._claims.bucket, self._key, encode(entry), self._revision, entry.expires)
            written = await put
        if written is None:
            self.lost = True
            return None
        return entry

    async def fail(self, failure: Failure) -> Entry | None:
        """Record an error, or give the key back to be tried again; what is recorded, or None as `complete`."""
        once = self._claims.once
        return await self._put(Fail(self.entry.owner, failure, once.keep, once.max_attempts))

    async def _put(self, event: Event) -> Entry | None:
        async with self._busy:
            while True:
                decision = step(self.entry, event, time())
                if not isinstance(decision, Write):
                    self.lost = True
                    self._claims.tally.fenced += 1
                    return None
                written = await self._claims.write(self._key, decision.entry, self._revision)
                if written is not None:
                    self._revision, self.entry = written, decision.entry
                    return decision.entry
                # A write of this worker's own that was given up as failed may have been done after all: what counts
                # is whose the record is now.
                found = await self._claims.read(self._key)
                if found is None or found[1] == self._revision or found[0].owner != self.entry.owner:
                    self.lost = True
                    self._claims.tally.fenced += 1
                    return None
                self.entry, self._revision = found
                if self.entry.ended:
                    return self.entry
