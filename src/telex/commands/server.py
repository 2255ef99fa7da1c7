"""`CommandServer`: a command in the process that carries it out; `Invocation`: one command that was accepted here."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import msgspec

from telex.codec.content import from_json, plain_json, to_json
from telex.commands.outcome import CANCELLED, CONFLICT, EXPIRED, UNSENDABLE, Outcome, Progress, failure_of
from telex.commands.progress import ProgressThrottle
from telex.commands.spec import Command, CommandContext, Invoke
from telex.errors import CommandError, ContentError, EngineFailed, text_of
from telex.once.leases import KeyCounts, KeyLeases, Lease
from telex.once.machine import Complete, Entry, Fail, Failure, GiveBack
from telex.once.results import INLINE, RESULTS, outcome_of
from telex.once.store import OnceTransaction

if TYPE_CHECKING:
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")
MARGIN = 3600.0
"""Seconds that such a record is kept for longer than the one that names it."""
TRIES = 0.1
"""Seconds until a store that did not take an outcome is asked again, for as long as the lease lasts."""
Publish = Callable[["Invocation", Outcome[Any], OnceTransaction], Awaitable[bool]]
"""Publishes an outcome in a transaction, if that can be; whether it was."""


class Invocation(CommandContext[Any]):
    """A command that was accepted in this process, until it has its outcome: what its handler is given, and more."""

    __slots__ = (
        "announced",
        "cancelled",
        "cause",
        "fingerprint",
        "lost",
        "pace",
        "redelivered",
        "reply",
        "task",
        "until",
    )

    def __init__(
        self,
        command: str,
        content: object,
        id: str,
        key: str | None,
        limit: float | None,
        hub: Any,
        report: Callable[[Progress], None],
        fingerprint: str,
        reply: Any,
    ) -> None:
        deadline = None if limit is None else time() + limit
        CommandContext.__init__(self, command, content, id, key, deadline, hub, report)
        # The time of day may be set: it is for people, and this clock decides.
        self.until: float | None = None if limit is None else monotonic() + limit
        self.fingerprint: str = fingerprint  # of its content, if it runs once
        self.reply: Any = reply  # a Ticket of this hub, or the inbox of another one
        self.task: asyncio.Task[Any] | None = None
        self.cause: BaseException | None = None
        self.cancelled: bool = False  # its sender asked for that
        self.lost: bool = False  # the key is somebody else's
        self.redelivered: bool = False  # another worker had it, and may have begun it
        self.announced: bool = False  # its outcome was published with its effects
        self.pace: ProgressThrottle | None = None

    def cancel(self) -> None:
        """End it, begun or not."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    def lose(self) -> None:
        """The key is somebody else's: what its handler does is of no account."""
        self.lost = True
        if self.task is not None:
            self.task.cancel()


class CommandServer:
    """A command that is carried out here. `carry_out` gives an outcome whatever the handler does."""

    def __init__(
        self, command: Command, claims: KeyLeases | None, publish: Publish, runtime: Runtime, *, exclusive: bool
    ) -> None:
        self.command: Command = command
        self.invoke: Invoke = command.bind()
        self.claims: KeyLeases | None = claims
        self.tally: KeyCounts = KeyCounts() if claims is None else claims.tally
        self.failed: int = 0
        self.expired: int = 0
        self.running: int = 0
        self.opening: asyncio.Task[None] | None = None  # of its store
        self._publish = publish
        self._runtime = runtime
        self._exclusive = exclusive  # a transaction keeps even this process from writing

    def carry_out(self, run: Invocation, task: asyncio.Task[Any]) -> Awaitable[Outcome[Any]] | Outcome[Any]:
        """What becomes of it, at once or to be awaited in ``task``. Raises `asyncio.CancelledError` when that is to
        end.
        """
        if self.claims is None:
            # One that a worker had before may have been begun: what has begun goes on, whoever waits for it.
            if run.until is not None and not run.redelivered and monotonic() > run.until:
                return self._expired(run)
            if run.cancelled:
                return self.ended(run, _CANCELLED)
        run.task = task
        return self._plain(run) if self.claims is None else self._once(run, self.claims)

    def _expired(self, run: Invocation) -> Outcome[Any]:
        self.expired += 1
        return self.ended(run, EXPIRED_UNBEGUN)

    # -- once for each time that it is sent

    async def _plain(self, run: Invocation) -> Outcome[Any]:
        command = self.command
        self.tally.executed += 1
        try:
            result = self.invoke(run)
            if command.is_async or (result is not None and inspect.isawaitable(result)):
                result = await result
        except asyncio.CancelledError as error:
            return self.ended(run, self._cancelled(run, error))
        except Exception as error:  # noqa: BLE001  # whatever it raises is its outcome
            return self.ended(run, self._raised(run, error))
        if command.gives is not None:
            try:
                result = command.gives.check(result, command.name)
            except ContentError as error:
                return self.unsendable(run, error)
        return Outcome(command.name, run.id, run.key, result, None, run.attempt, _now())

    # -- once for each key

    async def _once(self, run: Invocation, claims: KeyLeases) -> Outcome[Any]:
        key, once, owner = run.key or "", claims.once, claims.owner()
        while True:
            try:
                if self.opening is not None:
                    await asyncio.shield(self.opening)
                if run.until is not None and monotonic() > run.until and not await self._has_begun(run, claims):
                    return self._expired(run)
                found = await claims.claim(key, run.fingerprint, owner, run.lose)
            except asyncio.CancelledError as error:
                # What was under way may have been done: the same owner claims again, and then calls it off.
                self._cancelled(run, error)
                continue
            except (EngineFailed, msgspec.DecodeError, OSError) as error:
                if once.run_anyway and "tx" not in self.command.wants:
                    logger.error("command %s runs without a record, as it was asked to: %s", self.command.name, error)
                    return await self._plain(run)
                # Fail closed: what cannot be claimed is not run.
                return self.ended(run, Failure("StoreUnavailable", "store_unavailable", text_of(error), final=False))
            if found is None:
                self.tally.conflicted += 1
                return self.ended(run, CONFLICTING)
            if isinstance(found, Entry):
                self.tally.replayed += 1
                return await self.replay(run, found)
            if run.cancelled:  # before it began, or between two attempts
                return await self._call_off(run, found, claims)
            self.tally.executed += 1
            outcome = await self._attempt(run, found, claims)
            if outcome is not None:
                return outcome
            await self._back_off(run, found, once.backoff)
            owner = claims.owner()

    async def _has_begun(self, run: Invocation, claims: KeyLeases) -> bool:
        """Whether a command was begun under its key, by whoever had it: then it goes on, and else it is dropped. Raises
        what the store raises.
        """
        return await claims.live(run.key or "") is not None or (claims.once.run_anyway and run.redelivered)

    async def _back_off(self, run: Invocation, held: Lease, backoff: float) -> None:
        """Wait until it may be tried again. Raises `asyncio.CancelledError` when the hub closes."""
        if self._runtime.ends:
            raise asyncio.CancelledError  # its handler has made an error of that, and nobody cancels it again
        if held.lost:
            return
        try:
            await asyncio.sleep(backoff * 2.0 ** (held.entry.attempt - 1))
        except asyncio.CancelledError as error:
            self._cancelled(run, error)  # and if it was its sender, that is recorded when it is claimed

    async def _call_off(self, run: Invocation, held: Lease, claims: KeyLeases) -> Outcome[Any]:
        """Its sender cancelled it: that is recorded, for all of its senders."""
        await held.stop()
        entry = await _insist(held, Fail(held.entry.owner, _CANCELLED, claims.once.keep, claims.once.max_attempts))
        return self.ended(run, _CANCELLED) if entry is None else self._from(run, entry, None, replayed=False)

    async def _attempt(self, run: Invocation, held: Lease, claims: KeyLeases) -> Outcome[Any] | None:
        """Its outcome; None when the key was given back to be tried again, or lost."""
        run.lost = False
        run.attempt, run.fence = held.entry.attempt, held.fence
        failure: Failure | None
        try:
            if "tx" in self.command.wants:
                return await self._in_transaction(run, held)
            result = self.invoke(run)
            if self.command.is_async or (result is not None and inspect.isawaitable(result)):
                result = await result
            (content, result), ref = self._content(result), ""
            if len(content) > INLINE:
                ref = await self._put_aside(run, held, content, None)
            claims.forget(held)
            if held.renewing is not None:
                await held.stop()
            raw = msgspec.UNSET if ref else msgspec.Raw(content)
            done = Complete(held.entry.owner, raw, claims.once.keep, ref)
            try:
                entry = await held.put(done)
            except EngineFailed:
                entry = await _insist(held, done)
            return None if entry is None else self._from(run, entry, result, replayed=False)
        except asyncio.CancelledError as error:
            failure = await self._interrupted(run, held, error, claims)
        except _Unsendable as error:
            failure = self._unsendable(run, error.problem)
        except Exception as error:  # noqa: BLE001  # whatever it raises is recorded
            failure = self._raised(run, error)
        finally:
            claims.forget(held)
            if held.renewing is not None:
                await held.stop()
        return None if failure is None else await self._failed(run, held, claims, failure)

    async def _failed(self, run: Invocation, held: Lease, claims: KeyLeases, failure: Failure) -> Outcome[Any] | None:
        """Record an error, or give the key back; as `_attempt`."""
        entry = await _insist(held, Fail(held.entry.owner, failure, claims.once.keep, claims.once.max_attempts))
        if entry is None or not entry.ended:
            return None
        if entry.state == "done":  # it was recorded before this came
            return msgspec.structs.replace(await self.replay(run, entry), replayed=False)
        return self._from(run, entry, None, replayed=False)

    async def _interrupted(
        self, run: Invocation, held: Lease, error: asyncio.CancelledError, claims: KeyLeases
    ) -> Failure | None:
        if run.lost and run.task is not None and not run.cancelled:
            run.task.uncancel()
            logger.warning("command %s lost its lease of key %r", self.command.name, run.key)
            return None
        try:
            return self._cancelled(run, error)
        except asyncio.CancelledError:
            # This worker ends: the next one need not wait for the lease.
            await held.stop()
            await _insist(held, GiveBack(held.entry.owner))
            raise

    def _content(self, result: object) -> tuple[bytes, object]:
        """A result as it is recorded, and as all senders get it. Raises `_Unsendable`."""
        try:
            return self.sendable(result)
        except (TypeError, ValueError, RecursionError) as error:
            raise _Unsendable(error) from None

    def sendable(self, result: object) -> tuple[bytes, object]:
        """A result as JSON, and as all senders get it, the first one too: of the type that is annotated, else plain.
        Raises `ContentError`.
        """
        gives, name = self.command.gives, self.command.name
        if gives is None:
            data = plain_json(result, name)
            return data, from_json(data)
        checked = gives.check(result, name)
        held = gives.hold(checked, name)
        return to_json(checked) if held is None or b"null" in held else held, checked

    async def _put_aside(self, run: Invocation, held: Lease, content: bytes, tx: OnceTransaction | None) -> str:
        """The name of a record that has the result, which is there before it is named."""
        if self.claims is None:
            raise AssertionError("only what runs once is recorded")
        ref = f"{self.command.name} {run.id} {held.fence} {sha256(content).hexdigest()}"
        put = self.claims.store.put if tx is None else tx.put
        await put(RESULTS, ref, content, 0, time() + self.claims.once.keep + MARGIN)
        return ref

    async def _in_transaction(self, run: Invocation, held: Lease) -> Outcome[Any] | None:
        """The handler's writes, the record and what is published commit together, or not at all."""
        if self.claims is None:
            raise AssertionError("only what runs once is in a transaction")
        if self._exclusive:
            await held.stop()  # its own renewals would wait for the transaction, as do the writes of all others
        try:
            async with self.claims.store.transaction() as tx:
                run.tx = tx.connection
                result = self.invoke(run)
                if inspect.isawaitable(result):
                    result = await result
                (content, result), ref = self._content(result), ""
                if len(content) > INLINE:
                    ref = await self._put_aside(run, held, content, tx)
                await held.stop()
                entry = await held.complete_in(tx, msgspec.UNSET if ref else msgspec.Raw(content), ref)
                if entry is None:
                    raise _Fenced
                outcome = self._from(run, entry, result, replayed=False)
                announced = await self._publish(run, outcome, tx)
            run.announced = announced  # now that it has committed
        except _Fenced:
            self.tally.fenced += 1
            return None
        finally:
            run.tx = None
        return outcome

    # -- outcomes

    async def replay(self, run: Invocation, entry: Entry) -> Outcome[Any]:
        """The outcome that is recorded, for another sender."""
        if self.claims is None:
            raise AssertionError("only what runs once is replayed")
        get, gives = self.claims.store.get, self.command.gives
        return await outcome_of(entry, self.command.name, run.id, run.key, get, gives)

    def _from(self, run: Invocation, entry: Entry, result: object, *, replayed: bool) -> Outcome[Any]:
        when = datetime.fromtimestamp(entry.completed, UTC)
        self.failed += entry.error is not None and not replayed
        return Outcome(self.command.name, run.id, run.key, result, entry.error, entry.attempt, when, replayed)

    def ended(self, run: Invocation, failure: Failure) -> Outcome[Any]:
        """An outcome that is an error, and is not recorded."""
        self.failed += 1
        return Outcome(self.command.name, run.id, run.key, None, failure, run.attempt, _now())

    def unsendable(self, run: Invocation, problem: Exception) -> Outcome[Any]:
        """The outcome of what has a result that cannot be one."""
        return self.ended(run, self._unsendable(run, problem))

    # -- what was raised

    def _raised(self, run: Invocation, error: Exception) -> Failure:
        run.cause = error
        if not isinstance(error, CommandError):
            where = (self.command.name, run.id, run.attempt)
            logger.error("command %s raised for %s, attempt %d", *where, exc_info=error)
        return failure_of(error)

    def _unsendable(self, run: Invocation, problem: Exception) -> Failure:
        run.cause = problem
        logger.error("command %s has a result that cannot be sent: %s", self.command.name, text_of(problem))
        if isinstance(problem, ContentError):
            said = (
                f"its result is refused at {problem.path}: {problem.problem}; return what its handler is annotated with"
            )
        else:
            said = f"its result is refused: {text_of(problem)}"
        return Failure(type(problem).__name__, UNSENDABLE, said)

    def _cancelled(self, run: Invocation, error: asyncio.CancelledError) -> Failure:
        """What is recorded of it. Raises it when the task itself is to end."""
        task = run.task or asyncio.current_task()
        if run.cancelled:
            if task is not None:
                task.uncancel()
            return _CANCELLED
        if task is not None and task.cancelling():
            raise error
        return Failure("CancelledError", "error", "something that its handler awaited was cancelled", final=False)


EXPIRED_UNBEGUN = Failure("Expired", EXPIRED, "it was not begun while its sender waited", final=False)
CONFLICTING = Failure("KeyConflict", CONFLICT, "the key was used with other content")
_CANCELLED = Failure("Cancelled", CANCELLED, "its sender cancelled it")


class _Fenced(Exception):
    """The record is not this worker's any more: the transaction is rolled back."""


class _Unsendable(Exception):
    """The result has no JSON form, or is not what is annotated."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(text_of(problem))
        self.problem = problem


async def _insist(held: Lease, event: Complete | Fail | GiveBack) -> Entry | None:
    """Record an outcome, trying again for as long as the lease lasts: what was carried out should not be again."""
    clock = asyncio.get_running_loop().time
    until = clock() + held.entry.lease
    while True:
        try:
            return await held.put(event)
        except EngineFailed as error:
            if clock() > until:
                held.lost = True
                logger.error("an outcome was not recorded, and the command may run again: %s", error)
                return None
            await asyncio.sleep(TRIES)


def _now() -> datetime:
    return datetime.now(UTC)
