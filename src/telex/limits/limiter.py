"""`Limiter`: one limit in this process. It keeps the state of each key in a record, which all processes change by
compare-and-set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from math import inf
from time import time

import msgspec

from telex.limits.holders import Holder
from telex.limits.limit import Rule
from telex.limits.meter import CallRequest, Decision, KeyState, decide, decode, encode
from telex.process.supervision import keep_doing
from telex.process.tasks import LastingTask
from telex.runtime import Runtime

KEEP_SECONDS = 1.0
"""The time for which a process passes its slots from call to call without looking at the record."""
MIN_WAIT_SECONDS, POLL_SECONDS = 0.001, (0.1, 0.5)
"""The shortest wait for a rate, and the time between two looks for slots of other processes, drawn at random."""
RATE_SPARE_SECONDS, SLOTS_SPARE_SECONDS = 60.0, 7 * 86400.0
"""The times for which records are kept that limit nothing any more, and records with slots of a process."""
MAX_KNOWN_STATES = 1024
MAX_BUCKET, MAX_RECORD_KEY = 200, 200


class KeyUse(msgspec.Struct, eq=False):
    """The slots of this process for one key: ``used`` by running calls, and ``held`` by the record."""

    lock: asyncio.Lock
    used: int = 0
    held: int = 0
    looked: float = -inf
    """The time of the last look at the record. While a write is not known to be stored, it is long ago."""
    insists: bool = False
    asking: int = 0
    is_returning: bool = False
    """True while unused slots are given back."""


class Granted(msgspec.Struct, frozen=True):
    """The answer of `Limiter.ask`: the number of calls that may begin, and the seconds until the next question; None
    until a call of this process ends. ``is_rated`` is true when the rate allows no call before.
    """

    count: int
    wait: float | None
    is_rated: bool = False


class Limiter:
    """The limit of one name. ``gates`` have the calls that wait; each is called with a key that may go on, and with
    true when the process has a slot for it. It returns true when it asks for the key.
    """

    def __init__(self, name: str, rule: Rule, runtime: Runtime, holder: Holder) -> None:
        self.name: str = name
        self.rule: Rule = rule
        self.gates: list[Callable[[str, bool], bool]] = []
        self.call_seconds: float = 1.0
        """The mean time of a call, for estimates."""
        self._bucket = escaped(f"limit:{name}", MAX_BUCKET)
        self._runtime = runtime
        self._holder = holder
        self._known: dict[str, tuple[KeyState, int]] = {}  # the states that this process wrote last
        self._uses: dict[str, KeyUse] = {}

    @property
    def most_at_once(self) -> int:
        """The largest number of calls of one key that one answer lets begin."""
        bounds = (self.rule.concurrency, None if self.rule.interval is None else self.rule.burst)
        return min(bound for bound in bounds if bound is not None)

    @property
    def seconds_per_call(self) -> float:
        """The estimated time between two calls of a key."""
        if self.rule.interval is not None:
            return self.rule.interval
        return min(30.0, max(0.05, self.call_seconds / (self.rule.concurrency or 1)))

    def take_kept(self, key: str, want: int) -> int:
        """Take slots that this process holds without a running call. Return their number. Only for limits without a
        rate.
        """
        use = self._uses.get(key) if self.rule.interval is None else None
        if use is None or use.asking or asyncio.get_running_loop().time() - use.looked >= KEEP_SECONDS:
            return 0
        taken = max(0, min(want, use.held - use.used))
        use.used += taken
        return taken

    def is_full(self, key: str) -> bool:
        """Return true while running calls of this process use all slots of a key: no record allows another call."""
        use = self._uses.get(key)
        return use is not None and self.rule.concurrency is not None and use.used >= self.rule.concurrency

    async def ask(self, key: str, want: int) -> Granted:
        """Ask for ``want`` calls. Each call that may begin is counted until `ended`. Raises `EngineFailed`."""
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = KeyUse(asyncio.Lock())
        use.asking += 1
        try:
            async with use.lock:
                decision = await self._held_change(key, use, want)
            return Granted(decision.granted, self._wait(use, decision, want), decision.wait is not None)
        finally:
            use.asking -= 1
            self._discard(key, use)

    async def _held_change(self, key: str, use: KeyUse, want: int) -> Decision:
        """Change the record of a key, with heartbeats while this process has slots there."""
        if self.rule.concurrency is None:
            return await self._change(key, use, want)
        had = use.held
        if not had:
            await self._holder.hold()
        try:
            return await self._change(key, use, want)
        finally:
            if not use.held:
                self._holder.free()

    def _discard(self, key: str, use: KeyUse) -> None:
        if not (use.asking or use.held or use.used):
            self._uses.pop(key, None)

    def _wait(self, use: KeyUse, decision: Decision, want: int) -> float | None:
        if decision.granted >= want:
            return 0.0
        low, high = POLL_SECONDS
        if decision.gave_way:
            return high
        if decision.wait is not None:
            return max(MIN_WAIT_SECONDS, decision.wait)
        if decision.is_crowded:
            return low + (high - low) * self._runtime.chance()
        # a call of this process may have ended while the record was written
        return None if self.rule.concurrency is None or use.used >= self.rule.concurrency else 0.0

    async def _change(self, key: str, use: KeyUse, want: int) -> Decision:
        """Change the record of a key for ``want`` more calls."""
        records, at, now = self._runtime.records("limit="), escaped(key, MAX_RECORD_KEY), self._runtime.engine.now
        known = self._known.pop(key, None) if self.rule.concurrency is None else None
        while True:
            if known is None:
                record = await records.get(self._bucket, at)
                known = (KeyState(), 0) if record is None else (decode(record.value), record.revision)
            state, revision = known
            looked = asyncio.get_running_loop().time()
            others = [id for id in state.slots if id != self._holder.id]
            gone = await self._holder.gone(others) if others and want else []
            request = CallRequest(self._holder.id, use.used, want, gone, use.insists)
            decision = decide(state, self.rule, request, now())
            if decision.state == state:
                self._remember(key, state, revision)
                break
            expires = self._expires(decision.state, now())
            # Before the write: after an error, or cancelled, the record may have the slots. A call that took a kept
            # slot now would not be in the record.
            use.looked = -inf
            use.held = max(use.held, decision.state.slots.get(self._holder.id, 0))
            written = await records.put(self._bucket, at, encode(decision.state), revision, expires)
            if written is not None:
                self._remember(key, decision.state, written)
                self._holder.forget(gone)
                break
            known = None
        use.looked, use.insists = looked, decision.gave_way
        use.used += decision.granted if self.rule.concurrency is not None else 0
        use.held = decision.state.slots.get(self._holder.id, 0)
        return decision

    def _remember(self, key: str, state: KeyState, revision: int) -> None:
        self._known[key] = state, revision
        if len(self._known) > MAX_KNOWN_STATES:
            del self._known[next(iter(self._known))]

    def _expires(self, state: KeyState, now: float) -> float:
        spare = SLOTS_SPARE_SECONDS if state.slots or state.wanted else RATE_SPARE_SECONDS
        return time() + max(0.0, state.arrival - now) + spare

    def ended(self, key: str, count: int = 1) -> None:
        """Note that calls have ended, or that granted calls do not begin. Their slots go to waiting calls, or back."""
        if self.rule.concurrency is None:
            return
        use = self._uses.get(key)
        if use is None or not use.used:
            return
        use.used -= count
        self.pass_on(key)

    def pass_on(self, key: str) -> None:
        """Let the waiting calls of a key use the slots without a call, gate by gate in turn, or give the slots back."""
        use = self._uses.get(key)
        if self.rule.concurrency is None or (use is not None and (use.asking or use.used >= self.rule.concurrency)):
            return  # after the answer, and after the end of a call, this is called again
        has_slot = use is not None and use.held > use.used
        for gate in list(self.gates):
            if gate(key, has_slot):
                self.gates.remove(gate)
                self.gates.append(gate)
                return
        if use is not None and has_slot and not use.is_returning and not self._runtime.ends:
            use.is_returning = True
            what = f"giving back the slots of limit {self.name}"
            work = keep_doing(what, partial(self._give_back, key, use))
            task = LastingTask(work, loop=asyncio.get_running_loop(), name=f"telex limit {self.name}")
            self._runtime.own(task)
            task.add_done_callback(partial(self._given_back, key, use))

    async def _give_back(self, key: str, use: KeyUse) -> None:
        async with use.lock:
            if use.held > use.used:
                await self._held_change(key, use, 0)

    def _given_back(self, key: str, use: KeyUse, task: LastingTask) -> None:
        use.is_returning = False
        self._discard(key, use)
        if not task.over:
            self.pass_on(key)  # code of the program has cancelled the task, or another call has ended

    async def close(self) -> None:
        """Give back all slots. Raises `EngineFailed`."""
        for key, use in list(self._uses.items()):
            use.used = 0
            if use.held:
                await self._held_change(key, use, 0)
        self._uses.clear()


def escaped(text: str, longest: int) -> str:
    """Return text as a bucket or a key of a record: long text is replaced by its digest."""
    if len(text.encode(errors="surrogatepass")) <= longest and text.isprintable():
        return text
    return f"#{blake2b(text.encode(errors='surrogatepass'), digest_size=20).hexdigest()}"
