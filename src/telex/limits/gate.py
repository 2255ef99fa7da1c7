"""`Gate`: lets the waiting calls of one handler or command begin when their limit allows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from telex.errors import Closed, reason_of
from telex.limits.limiter import Granted, Limiter
from telex.limits.lines import Lines
from telex.process.supervision import is_end
from telex.process.tasks import LastingTask
from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")
T = TypeVar("T")
MAX_BLOCKED = 1000
"""The number of calls that wait in one process for the limits of their keys. Beyond it, the longest line gives up its
tail.
"""
MAX_SPILL_SECONDS = 900.0
"""The longest delay of a released call."""
RETRY_SECONDS = 1.0
"""The time until the records are asked again after the engine failed."""


UNANSWERED = Granted(0, RETRY_SECONDS)


class Entrant(Protocol):
    """The owner of waiting calls."""

    def start(self, item: Any, key: str) -> None:
        """Begin a call. The owner calls `Gate.ended` with the key when the call has ended."""

    def spill(self, item: Any, seconds: float) -> None:
        """Give up a call that waits: it comes again after some seconds."""


class Waiting(msgspec.Struct, Generic[T], eq=False):
    """A waiting call, and its owner."""

    entrant: Entrant
    item: T


class Gate(Generic[T]):
    """The waiting calls of one handler. ``calls`` may run at once in this process. With ``bounded``, at most
    `MAX_BLOCKED` calls wait in blocked lines.

    Invariant: a key with waiting calls has its turn, is asked for, or is blocked: until a time, or until a call ends.
    """

    def __init__(self, limiter: Limiter, runtime: Runtime, calls: int, *, bounded: bool = False) -> None:
        self.limiter: Limiter = limiter
        self.lines: Lines[Waiting[T]] = Lines()
        self._runtime = runtime
        self._calls = calls
        self._most = MAX_BLOCKED if bounded else None
        self._running = 0
        self._reserved = 0  # calls that are asked for
        self._asking: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}  # of blocked keys
        self._rated: set[str] = set()  # the blocked keys that wait for their rate
        self._again: dict[str, float] = {}  # the times of the last released calls
        self._failed = False
        self._closed = False
        self.moved: list[Callable[[], object]] = []
        """Called after each answer about a limit: more calls may be fetched."""
        limiter.gates.append(self._go_on)

    @property
    def is_keyed(self) -> bool:
        """True when calls of other keys or other handlers may begin before those that wait."""
        return self._most is not None

    @property
    def waiting(self) -> int:
        """The number of calls that wait."""
        return self.lines.size

    def add(self, key: str, waiting: Waiting[T], level: int = 0) -> None:
        """Let a call wait for the limit of its key."""
        self.lines.add(key, waiting, level)
        if self._most is not None and self.lines.blocked > self._most:
            self._spill()
        self.pump()

    def notify(self) -> None:
        """Note that more calls may be fetched."""
        for moved in self.moved:
            moved()

    def remove(self, key: str, waiting: Waiting[T]) -> bool:
        """Remove a waiting call. Return false when it does not wait."""
        return self.lines.remove(key, waiting)

    def ended(self, key: str, *, seconds: float | None = None) -> None:
        """Note that a call has ended, after ``seconds``."""
        self._running -= 1
        if seconds is not None:
            self.limiter.call_seconds += 0.1 * (seconds - self.limiter.call_seconds)
        self.limiter.ended(key)
        self.pump()

    def close(self) -> list[Waiting[T]]:
        """Begin no more calls. Return the calls that wait."""
        self._closed = True
        if self._go_on in self.limiter.gates:
            self.limiter.gates.remove(self._go_on)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._rated.clear()
        return self.lines.clear()

    # -- asking

    def pump(self) -> None:
        """Ask for the calls that may begin in this process, one key after the other."""
        while not self._closed and (free := self._calls - self._running - self._reserved) > 0:
            key = self.lines.next_key()
            if key is None:
                return
            self._ask(key, min(free, self.lines.length(key)))

    def _ask(self, key: str, want: int) -> None:
        kept = self.limiter.take_kept(key, want)
        if kept:
            self._begin(key, kept)
            self.lines.unblock(key)
            return
        if self.limiter.is_full(key):
            return  # the key stays blocked until a call ends
        reserved = min(want, self.limiter.most_at_once)
        self._reserved += reserved
        self._asking.add(key)
        loop, name = asyncio.get_running_loop(), f"telex limit {self.limiter.name}"
        task = LastingTask(self._asked(key, want, reserved), loop=loop, name=name)
        self._runtime.own(task)
        task.add_done_callback(partial(self._asking_ended, key, reserved))

    def _asking_ended(self, key: str, reserved: int, task: LastingTask) -> None:
        if task.cancelled() and not (task.over or self._runtime.ends):
            self._answered(key, reserved, UNANSWERED)  # code of the program has cancelled the task

    async def _asked(self, key: str, want: int, reserved: int) -> None:
        granted = UNANSWERED
        try:
            granted = await self.limiter.ask(key, want)
            self._failed = False
        except Closed:
            return
        except BaseException as error:
            if is_end(error):
                raise
            if not self._failed and self._runtime.connection.connected:
                logger.error("limit %s cannot be asked: %s; its calls wait", self.limiter.name, reason_of(error))
            self._failed = True
        self._answered(key, reserved, granted)

    def _answered(self, key: str, reserved: int, granted: Granted) -> None:
        self._reserved -= reserved
        self._asking.discard(key)
        self._begin(key, granted.count)
        self._block(key, granted)
        self.limiter.pass_on(key)
        self.pump()
        self.notify()

    def _begin(self, key: str, count: int) -> None:
        for number in range(count):
            waiting = None if self._closed else self.lines.take(key)
            if waiting is None:
                self.limiter.ended(key, count - number)
                return
            self._running += 1
            waiting.entrant.start(waiting.item, key)

    def _block(self, key: str, granted: Granted) -> None:
        """Let a key wait for its next turn, for some seconds or until one of its calls ends."""
        if self._closed:
            return
        if granted.wait == 0.0:
            self.lines.unblock(key)
        elif granted.wait is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(granted.wait, self._unblock, key)
            if granted.is_rated:
                self._rated.add(key)

    def _unblock(self, key: str) -> None:
        self._timers.pop(key, None)
        self._rated.discard(key)
        self.lines.unblock(key)
        self.pump()

    def _go_on(self, key: str, has_slot: bool) -> bool:
        """Ask for a key at once: with a slot that is free in the process, or because a call has ended for which the key
        waits. Return false when no call of the key waits for it.
        """
        if self._closed or not self.lines.length(key):
            return False
        if key in self._asking:
            return True
        if key in self._rated or (key in self._timers and not has_slot):
            return False
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        length = self.lines.length(key)
        self.lines.unblock(key)
        self.pump()
        return key in self._asking or self.lines.length(key) < length

    # -- giving up

    def _spill(self) -> None:
        """Let the longest line give up half of its calls."""
        key, now = self.lines.longest(), asyncio.get_running_loop().time()
        step = self.limiter.seconds_per_call
        length = self.lines.length(key)
        given = [self.lines.give_up(key) for _ in range(max(1, length // 2))]
        at = max(self._again.get(key, 0.0), now + self.lines.length(key) * step)
        for waiting in reversed(given):
            at += step
            waiting.entrant.spill(waiting.item, min(at - now, MAX_SPILL_SECONDS))
        self._again[key] = at
        if len(self._again) > MAX_BLOCKED:
            self._again = {key: at for key, at in self._again.items() if at > now}
