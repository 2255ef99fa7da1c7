"""`CommandServer`: serves one command in this process."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from telex.codec.content import from_json, plain_json, to_json
from telex.commands.invocation import UNKNOWN_HUB, Invocation
from telex.commands.limited import after_limit
from telex.commands.outcome import CANCELLED, CONFLICT, EXPIRED, UNSENDABLE, Outcome, failure_of
from telex.commands.spec import Command, Invoke
from telex.errors import CommandError, ContentError, Nack, text_of
from telex.handlers.call import CallEnd, end_of, is_pending
from telex.limits.gate import Gate
from telex.limits.limit import LimitSpec
from telex.limits.passage import Late, Unbegun
from telex.message import check_key
from telex.once.leases import KeyCounts
from telex.once.machine import Entry, Failure
from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")
EXPIRED_UNBEGUN = Failure("Expired", EXPIRED, "it had not begun at its deadline", final=False)
CONFLICTING = Failure("KeyConflict", CONFLICT, "the key was used with other content")
CANCELLED_BY_SENDER = Failure("Cancelled", CANCELLED, "its sender cancelled it")
CANCELLED_ELSEWHERE = Failure("Cancelled", CANCELLED, "another process cancelled it")
CANCELLED_UNKNOWN = Failure("Cancelled", CANCELLED, "it was cancelled")
NACK_NEEDS_ONCE = (
    "telex.Nack is for handlers of groups and for commands with once=True, which have another attempt: give the "
    "command once=True, or raise telex.CommandError"
)

TAKES_CONTENT = frozenset(("content", "message", "context"))
"""The arguments by which a function gets the content."""


class CommandStatistics(msgspec.Struct, frozen=True):
    """The state of a command that a hub serves, at one moment. The counts are those of this process.

    ``running`` and ``waiting`` are commands now. ``executed`` counts the calls of the handler, ``failed`` the outcomes
    that were errors, ``expired`` the commands that were dropped at their deadline. For commands that run once,
    ``replayed`` counts the senders that got a recorded outcome, ``waited`` the duplicates that waited for the outcome
    of a running command, ``conflicted`` the keys that were used with other content, ``taken_over`` the leases that had
    run out, and ``fenced`` the results that came after the lease was lost.
    """

    command: str
    running: int
    waiting: int
    executed: int
    failed: int
    expired: int
    replayed: int
    waited: int
    conflicted: int
    taken_over: int
    fenced: int
    succeeded: int = 0
    """Outcomes that were results, and no recorded ones."""
    limited: int = 0
    """Commands that wait for the limit of their key now, beyond `running` and `waiting`."""


def cancellation_of(invocation: Invocation) -> Failure:
    """Return the failure of a command that was cancelled."""
    if invocation.canceller == UNKNOWN_HUB:
        return CANCELLED_UNKNOWN
    return CANCELLED_BY_SENDER if invocation.canceller == invocation.inbox else CANCELLED_ELSEWHERE


class CommandServer:
    """The server of one command, which calls the handler each time that the command is sent. Its subclass `OnceServer`
    calls it once for each key.
    """

    runs_once: ClassVar[bool] = False

    def __init__(self, command: Command, runtime: Runtime) -> None:
        self.command: Command = command
        self.counts: KeyCounts = KeyCounts()
        self.failed: int = 0
        self.succeeded: int = 0
        self.expired: int = 0
        self.running: int = 0
        self.gate: Gate[Any] | None = None
        """The gate at which commands wait for their limit; None without a limit."""
        self._takes_content = not TAKES_CONTENT.isdisjoint(command.wants)
        self._invoke: Invoke = command.bind(runtime)

    def limit(self, limit: LimitSpec, gate: Gate[Any]) -> None:
        """Have every call wait for a limit."""
        self.gate = gate
        self._invoke = after_limit(self._invoke, limit, gate, self.counts)

    async def carry_out(self, invocation: Invocation) -> Outcome[Any]:
        """Carry out a command in the current task. Return its outcome, whatever the handler raises. Raises
        `asyncio.CancelledError` when the task has to end.
        """
        # Another worker may have begun the command before: then it has no deadline.
        if invocation.until is not None and invocation.is_late and not invocation.redelivered:
            return self.dropped(invocation)
        if invocation.cancelled:
            return self.failure(invocation, cancellation_of(invocation))
        invocation.task = asyncio.current_task()
        command = self.command
        self.counts.executed += 1
        try:
            result = self._invoke(invocation)
            if command.is_async or is_pending(result):
                result = await result
        except asyncio.CancelledError as error:
            return self.failure(invocation, self.cancelled(invocation, error))
        except Unbegun as error:
            return self.unbegun(invocation, error)
        except Exception as error:  # noqa: BLE001  # every exception of a handler is an outcome
            return self.failure(invocation, self.raised(invocation, error))
        if command.gives is not None:
            try:
                result = command.gives.check(result, command.name)
            except ContentError as error:
                return self.failure(invocation, self.unsendable(invocation, error))
        return Outcome(command.name, invocation.id, invocation.key, result, None, invocation.attempt, datetime.now(UTC))

    async def finish(self, invocation: Invocation, outcome: Outcome[Any]) -> None:
        """Note the outcome of a command whose handler was not called. Raises `EngineFailed`."""

    # -- records of keys, for commands that run once

    def open(self) -> None:
        """Start connecting the store of the records."""

    def close(self) -> None:
        """Stop the timer of the leases."""

    def peek(self, key: str, fingerprint: str) -> Entry | None:
        """Return the recorded outcome of a key, if it can be read without waiting. Raises `KeyConflict`."""
        return None

    async def recorded(self, key: str) -> tuple[Entry, int] | None:
        """Return the record of a key and its revision, or None when there is none or its outcome has expired. Raises
        `EngineFailed`.
        """
        return None

    async def load(self, entry: Entry) -> Entry:
        """Return a record with its result, which may be in a record of its own. Raises `EngineFailed`."""
        return entry

    async def release(self, key: str, fingerprint: str, until: float) -> None:
        """Delete the error of a key that was recorded before ``until`` (seconds since 1970), so that the command may
        run again. Raises `EngineFailed`.
        """

    # -- content

    def check(self, content: object, key: str | None, digest: str = "") -> tuple[object, str]:
        """Return the content as the handler takes it, and its fingerprint (empty for a command that does not run once).
        ``digest`` is the digest of the content as it was sent. Raises `ContentError`, `BadOption`.
        """
        takes = self.command.takes
        if takes is not None:
            content = takes.check(content, self.command.name)
        elif content is not None and not self._takes_content:
            fix = "its function takes no content; send None, or give the function an argument for the content"
            raise ContentError(self.command.name, fix)
        if key is not None:
            check_key(key)
        return content, ""

    def sendable(self, result: object) -> tuple[bytes, object]:
        """Return a result as JSON, and as the object that every sender gets: of the annotated type, or plain data.
        Raises `ContentError`, `TypeError`, `ValueError`, `RecursionError`.
        """
        gives, name = self.command.gives, self.command.name
        if gives is None:
            data = plain_json(result, name)
            return data, from_json(data)
        checked = gives.check(result, name)
        held = gives.hold(checked, name)
        return to_json(checked) if held is None or b"null" in held else held, checked

    # -- outcomes

    def failure(self, invocation: Invocation, failure: Failure) -> Outcome[Any]:
        """Return an outcome with an error, without recording it."""
        self.failed += 1
        id, key, attempt = invocation.id, invocation.key, invocation.attempt
        return Outcome(self.command.name, id, key, None, failure, attempt, datetime.now(UTC))

    def unbegun(self, invocation: Invocation, error: Unbegun) -> Outcome[Any]:
        """Return the outcome of a command whose deadline has passed while it waited for its limit. Raises ``error``
        when the command has to leave.
        """
        if isinstance(error, Late):
            return self.dropped(invocation)
        raise error

    def dropped(self, invocation: Invocation) -> Outcome[Any]:
        """Return the outcome of a command that had not begun at its deadline."""
        self.expired += 1
        return self.failure(invocation, EXPIRED_UNBEGUN)

    def raised(self, invocation: Invocation, error: Exception) -> Failure:
        """Return the failure of a handler that raised, and log it unless it is a `CommandError`."""
        invocation.cause = error
        if not isinstance(error, CommandError):
            where = (self.command.name, invocation.id, invocation.attempt)
            logger.error("command %s raised for %s, attempt %d", *where, exc_info=error)
        if isinstance(error, Nack):
            return Failure("Nack", "error", NACK_NEEDS_ONCE, final=False)
        return failure_of(error)

    def unsendable(self, invocation: Invocation, problem: Exception) -> Failure:
        """Return the failure of a handler whose result has no JSON form, or not the annotated type."""
        invocation.cause = problem
        logger.error("command %s has a result that cannot be sent: %s", self.command.name, text_of(problem))
        text = f"its result is refused: {text_of(problem)}"
        if isinstance(problem, ContentError):
            fix = "return what its handler is annotated with"
            text = f"its result is refused at {problem.path}: {problem.problem}; {fix}"
        return Failure(type(problem).__name__, UNSENDABLE, text)

    def cancelled(self, invocation: Invocation, error: asyncio.CancelledError) -> Failure:
        """Return the failure of a handler that was cancelled. Raises ``error`` when the task itself has to end."""
        if invocation.cancelled:
            if invocation.task is not None:
                invocation.task.uncancel()
            return cancellation_of(invocation)
        if end_of(error) is CallEnd.CANCELLED:
            raise error
        return Failure("CancelledError", "error", "its handler awaited a task that was cancelled", final=False)

    # --

    def statistics(self, waiting: int) -> CommandStatistics:
        """Return the counts; ``waiting`` commands wait for a call."""
        counts, limited = self.counts, 0 if self.gate is None else self.gate.waiting
        return CommandStatistics(
            *(self.command.name, self.running - limited, waiting, counts.executed, self.failed, self.expired),
            *(counts.replayed, counts.waited, counts.conflicted, counts.taken_over, counts.fenced),
            self.succeeded,
            limited,
        )
