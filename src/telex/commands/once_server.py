"""`OnceServer`: serves a command that runs once for each key, and records its outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import time
from typing import Any

import msgspec

from telex.commands.invocation import Invocation
from telex.commands.limited import after_limit
from telex.commands.outcome import Outcome, failure_of, recorded_outcome
from telex.commands.server import CONFLICTING, CommandServer, cancellation_of
from telex.commands.spec import Command
from telex.durations import optional_seconds
from telex.errors import BadOption, ContentError, EngineFailed, KeyConflict, Nack, Reject, text_of
from telex.handlers.call import is_pending
from telex.limits.gate import Gate
from telex.limits.limit import LimitSpec
from telex.limits.passage import Unbegun
from telex.once.engine_store import EngineOnceTransaction, EngineStore
from telex.once.leases import KeyLeases, Lease
from telex.once.machine import Complete, Entry, Fail, Failure, GiveBack, digest_of, fingerprint_of
from telex.once.options import OnceOptions
from telex.once.results import EXTRA_RESULT_SECONDS, MAX_INLINE_BYTES, RESULTS_BUCKET, result_ref, with_result
from telex.once.store import OnceStores, OnceTransaction
from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")
RECORD_PAUSE_SECONDS = 0.1
"""The pause before another try to record an outcome, after the store has failed."""
PublishIn = Callable[[Invocation, Outcome[Any], EngineOnceTransaction], Awaitable[None]]
"""Publishes an outcome in a transaction of the engine."""

Attempt = Callable[[Invocation, Lease], Awaitable[Outcome[Any] | None]]


class OnceServer(CommandServer):
    """The server of a command that runs once for each key. Without a store of its own, the engine keeps its records."""

    runs_once = True

    def __init__(
        self, command: Command, options: OnceOptions, runtime: Runtime, stores: OnceStores, publish_in: PublishIn
    ) -> None:
        super().__init__(command, runtime)
        self._transacted: Attempt = self._in_transaction
        self.options: OnceOptions = options
        store = options.store or EngineStore(runtime)
        self.leases: KeyLeases = KeyLeases(command.name, options, store, self.counts)
        self._on_engine = isinstance(store, EngineStore)
        if self._on_engine and "tx" in command.wants:
            runtime.require(f"the argument tx of the command {command.name!r}", "record_transactions")
        self._opening: asyncio.Task[None] | None = None
        self._runtime = runtime
        self._stores = stores
        self.publish_in: PublishIn = publish_in

    def open(self) -> None:
        if not self._on_engine:
            self._opening = self._stores.open(self.leases.store)

    def limit(self, limit: LimitSpec, gate: Gate[Any]) -> None:
        """Have every attempt wait for a limit, before its transaction begins."""
        if "tx" in self.command.wants:
            self.gate: Gate[Any] | None = gate
            self._transacted = after_limit(self._in_transaction, limit, gate, self.counts)
        else:
            super().limit(limit, gate)

    async def _opened(self) -> None:
        """Wait until the store is connected. Raises the errors of its `open`."""
        if self._opening is not None:
            await asyncio.shield(self._opening)

    def check(self, content: object, key: str | None, digest: str = "") -> tuple[object, str]:
        name, version = self.command.name, self.options.version
        checked, _ = super().check(content, key)
        if key is None:
            raise BadOption("key", None, f"{name!r} runs once for each key: say which one this is, key='...'")
        try:
            return checked, fingerprint_of(name, version, digest or digest_of(content))
        except (TypeError, ValueError, RecursionError) as error:
            raise ContentError(
                name, f"the content of a command with once=True must have a JSON form: {error}"
            ) from None

    def peek(self, key: str, fingerprint: str) -> Entry | None:
        try:
            return self.leases.peek(key, fingerprint)
        except KeyError:
            raise KeyConflict(self.command.name, key) from None

    async def recorded(self, key: str) -> tuple[Entry, int] | None:
        await self._opened()
        return await self.leases.live(key)

    async def load(self, entry: Entry) -> Entry:
        return await with_result(entry, self.leases.store.get)

    async def release(self, key: str, fingerprint: str, until: float) -> None:
        await self._opened()
        found = await self.leases.live(key)
        if found is None:
            return
        entry, revision = found
        if entry.state == "failed" and entry.fingerprint == fingerprint and entry.completed <= until:
            await self.leases.store.delete(self.leases.bucket, key, revision)

    def close(self) -> None:
        self.leases.close()

    # -- one command

    async def carry_out(self, invocation: Invocation) -> Outcome[Any]:
        invocation.task = asyncio.current_task()
        leases = self.leases
        key, owner = invocation.key or "", leases.owner()
        while True:
            try:
                await self._opened()
                if invocation.is_late and not await self._begun(invocation):
                    return self.dropped(invocation)
                found = await leases.claim(key, invocation.fingerprint, owner, invocation.lose)
            except asyncio.CancelledError as error:
                self.cancelled(invocation, error)
                if not invocation.cancelled:
                    problem = EngineFailed("leasing the key", "its store was cancelled")
                    return await self._without_store(invocation, problem)
                continue  # the key may be leased all the same: the same owner claims it again, and records the failure
            except (EngineFailed, msgspec.DecodeError, OSError) as error:
                return await self._without_store(invocation, error)
            if found is None:
                self.counts.conflicted += 1
                return self.failure(invocation, CONFLICTING)
            if isinstance(found, Entry):
                self.counts.replayed += 1
                return await self._replay(found, invocation)
            if invocation.cancelled:  # before the command began, or between two attempts
                return await self._call_off(invocation, found)
            self.counts.executed += 1
            outcome = await self._attempt(invocation, found)
            if outcome is not None:
                return outcome
            await self._back_off(invocation, found)
            owner = leases.owner()

    async def _begun(self, invocation: Invocation) -> bool:
        """Return true when an attempt has begun under the key, so that the deadline no longer applies. Raises
        `EngineFailed`.
        """
        return await self.leases.live(invocation.key or "") is not None or (
            self.options.run_anyway and invocation.redelivered
        )

    async def _without_store(self, invocation: Invocation, error: Exception) -> Outcome[Any]:
        """Return the failure of a command whose key cannot be leased. With ``run_anyway``, call the handler without a
        record.
        """
        if self.options.run_anyway and "tx" not in self.command.wants:
            logger.error("command %s runs without a record, because of run_anyway: %s", self.command.name, error)
            return await super().carry_out(invocation)
        text = text_of(error)
        return self.failure(invocation, Failure("StoreUnavailable", "store_unavailable", text, final=False))

    async def _back_off(self, invocation: Invocation, lease: Lease) -> None:
        """Wait before the next attempt, as its `Nack` or the backoff says; return at once when the lease is lost.
        Raises `asyncio.CancelledError` when the hub closes.
        """
        if self._runtime.ends:
            raise asyncio.CancelledError  # the handler has swallowed the cancellation, and no second one comes
        if lease.lost:
            return
        asked, invocation.again_in = invocation.again_in, None
        try:
            await asyncio.sleep(self.options.backoff * 2.0 ** (lease.entry.attempt - 1) if asked is None else asked)
        except asyncio.CancelledError as error:
            self.cancelled(invocation, error)  # a cancellation by a sender is recorded with the next claim

    async def _call_off(self, invocation: Invocation, lease: Lease) -> Outcome[Any]:
        """Record that the command is cancelled, and return this outcome for all senders of the key."""
        await lease.stop()
        options, failure = self.options, cancellation_of(invocation)
        entry = await _insist(lease, Fail(lease.entry.owner, failure, options.keep, options.max_attempts))
        return self.failure(invocation, failure) if entry is None else self._ended(invocation, entry, None)

    async def _attempt(self, invocation: Invocation, lease: Lease) -> Outcome[Any] | None:
        """Call the handler, record its outcome and return it. None when the key was lost, or was released for another
        attempt.
        """
        invocation.lost = False
        invocation.attempt, invocation.fence = invocation.before + lease.entry.attempt, lease.fence
        failure: Failure | None
        try:
            if "tx" in self.command.wants:
                return await self._transacted(invocation, lease)
            result = self._invoke(invocation)
            if self.command.is_async or is_pending(result):
                result = await result
            (content, result), ref = self._recordable(result), ""
            if len(content) > MAX_INLINE_BYTES:
                ref = await self._put_aside(invocation, lease, content, None)
            self.leases.forget(lease)
            if lease.renewing is not None:
                await lease.stop()
            raw = msgspec.UNSET if ref else msgspec.Raw(content)
            done = Complete(lease.entry.owner, raw, self.options.keep, ref)
            try:
                entry = await lease.put(done)
            except EngineFailed:
                entry = await _insist(lease, done)
            return None if entry is None else self._ended(invocation, entry, result)
        except asyncio.CancelledError as error:
            failure = await self._interrupted(invocation, lease, error)
        except Unbegun as error:
            await lease.stop()
            await _insist(lease, GiveBack(lease.entry.owner))
            return self.unbegun(invocation, error)
        except _Unsendable as error:
            failure = self.unsendable(invocation, error.problem)
        except Exception as error:  # noqa: BLE001  # every exception of a handler is recorded
            failure = self.raised(invocation, error)
        finally:
            self.leases.forget(lease)
            if lease.renewing is not None:
                await lease.stop()
        return None if failure is None else await self._failed(invocation, lease, failure)

    def raised(self, invocation: Invocation, error: Exception) -> Failure:
        """Return the failure of a handler that raised, as `CommandServer.raised`. A `Nack`, which sets the time of the
        next attempt, and a `Reject`, which is final, are not logged.
        """
        if not isinstance(error, (Nack, Reject)):
            return super().raised(invocation, error)
        invocation.cause = error
        if isinstance(error, Reject):
            return msgspec.structs.replace(failure_of(error), final=True)
        try:
            invocation.again_in = optional_seconds(error.delay, "delay")
        except BadOption as wrong:
            logger.error("command %s raised a Nack: %s", self.command.name, wrong)
        return failure_of(error)

    async def _in_transaction(self, invocation: Invocation, lease: Lease) -> Outcome[Any] | None:
        """Make one attempt, as `_attempt`, in a transaction: the writes of the handler, the record and the messages
        commit together, or not at all.
        """
        if self._on_engine:
            await lease.stop()  # a renewal would wait for the transaction, which has the write lock
        try:
            async with self.leases.store.transaction() as tx:
                invocation.tx = tx.connection
                result = self._invoke(invocation)
                if is_pending(result):
                    result = await result
                (content, result), ref = self._recordable(result), ""
                if len(content) > MAX_INLINE_BYTES:
                    ref = await self._put_aside(invocation, lease, content, tx)
                await lease.stop()
                entry = await lease.complete_in(tx, msgspec.UNSET if ref else msgspec.Raw(content), ref)
                if entry is None:
                    raise _Fenced
                outcome = self._ended(invocation, entry, result)
                if isinstance(tx, EngineOnceTransaction):
                    await self.publish_in(invocation, outcome, tx)
            invocation.announced = self._on_engine  # the transaction has committed
        except _Fenced:
            self.counts.fenced += 1
            return None
        finally:
            invocation.tx = None
        return outcome

    async def _failed(self, invocation: Invocation, lease: Lease, failure: Failure) -> Outcome[Any] | None:
        """Record an error and return the outcome, or release the key and return None, as `_attempt`."""
        options = self.options
        entry = await _insist(lease, Fail(lease.entry.owner, failure, options.keep, options.max_attempts))
        if entry is None or not entry.ended:
            return None
        if entry.state == "done":  # the result was recorded before the handler was interrupted
            return msgspec.structs.replace(await self._replay(entry, invocation), replayed=False)
        return self._ended(invocation, entry, None)

    async def _interrupted(self, invocation: Invocation, lease: Lease, error: asyncio.CancelledError) -> Failure | None:
        """Return the failure of a handler that was cancelled; None when the key was lost."""
        if invocation.lost and invocation.task is not None and not invocation.cancelled:
            invocation.task.uncancel()
            logger.warning("command %s lost its lease of key %r", self.command.name, invocation.key)
            return None
        try:
            return self.cancelled(invocation, error)
        except asyncio.CancelledError:
            # This hub closes: release the key, so that the next worker need not wait for the lease to run out.
            await lease.stop()
            await _insist(lease, GiveBack(lease.entry.owner))
            raise

    # -- results

    def _recordable(self, result: object) -> tuple[bytes, object]:
        """Return a result as recorded JSON, and as the object that all senders get. Raises `_Unsendable`."""
        try:
            return self.sendable(result)
        except (TypeError, ValueError, RecursionError) as error:
            raise _Unsendable(error) from None

    async def _put_aside(self, invocation: Invocation, lease: Lease, content: bytes, tx: OnceTransaction | None) -> str:
        """Write a large result to a record of its own, and return the key of that record."""
        ref = result_ref(self.command.name, invocation.id, lease.fence, content)
        put = self.leases.store.put if tx is None else tx.put
        await put(RESULTS_BUCKET, ref, content, 0, time() + self.options.keep + EXTRA_RESULT_SECONDS)
        return ref

    async def _replay(self, entry: Entry, invocation: Invocation) -> Outcome[Any]:
        """Return the recorded outcome to another sender."""
        command = self.command
        found = recorded_outcome(await self.load(entry), command.name, invocation.id, invocation.key, command.gives)
        attempt = invocation.before + found.attempt
        return msgspec.structs.replace(found, attempt=attempt) if invocation.before else found

    def _ended(self, invocation: Invocation, entry: Entry, result: object) -> Outcome[Any]:
        """Return the outcome that this worker has recorded."""
        when = datetime.fromtimestamp(entry.completed, UTC)
        self.failed: int = self.failed + (entry.error is not None)
        attempt = invocation.before + entry.attempt
        return Outcome(self.command.name, invocation.id, invocation.key, result, entry.error, attempt, when)


class _Fenced(Exception):
    """The key was lost, so the transaction is rolled back."""


class _Unsendable(Exception):
    """The result has no JSON form, or not the type of the handler's annotation."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(text_of(problem))
        self.problem = problem


async def _insist(lease: Lease, event: Complete | Fail | GiveBack) -> Entry | None:
    """Record an outcome, and try again for as long as the lease lasts, so that the command does not run again."""
    clock = asyncio.get_running_loop().time
    until = clock() + lease.entry.lease
    while True:
        try:
            return await lease.put(event)
        except EngineFailed as error:
            if clock() > until:
                lease.lost = True
                logger.error("an outcome was not recorded, and the command may run again: %s", error)
                return None
            await asyncio.sleep(RECORD_PAUSE_SECONDS)
