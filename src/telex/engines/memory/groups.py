"""`MemoryGroups`: the consumer groups of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import time
from typing import TYPE_CHECKING

from telex.engines.contract.groups import Change, DeadLetter, Fetched, GroupInfo, Settlement
from telex.engines.memory.lease_table import Claimed, LeaseTable
from telex.errors import Closed
from telex.log.start import Start, check_seek, find
from telex.process.waiters import Waiter

if TYPE_CHECKING:
    from telex.log.log import Log

NOBODY = Claimed((), None, 0)


class MemoryGroups:
    """The `telex.engines.Groups` of one process, with a `LeaseTable` for each group. ``clock`` judges leases and
    delays, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock: Callable[[], float] = clock
        self.ledgers: dict[tuple[str, str], LeaseTable] = {}
        self._waiting: dict[tuple[str, str], dict[Waiter, None]] = {}  # the fetches that found nothing
        self._closed = False

    def close(self) -> None:
        """Raise `Closed` in every waiting fetch."""
        self._closed = True
        for name in self._waiting:
            self._wake(*name)

    def _wake(self, group: str, pattern: str) -> None:
        for waiter in self._waiting.get((group, pattern), ()):
            waiter.wake()

    async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
        """Create the group of a member if there is none."""
        local = log()
        if (group, pattern) not in self.ledgers:
            self.ledgers[group, pattern] = LeaseTable(group, pattern, local, find(local, start, time())[0])

    async def fetch(self, group: str, pattern: str, limit: int, lease: float, owner: str, wait: float) -> Fetched:
        """Lease messages."""
        name = group, pattern
        ledger = self.ledgers.get(name)
        claimed = NOBODY if ledger is None else ledger.claim(limit, lease, owner, self.clock())
        if claimed.deliveries or wait <= 0:
            return Fetched(claimed.deliveries, claimed.lag)
        loop = asyncio.get_running_loop()
        waiter, end, waiting = Waiter(loop), loop.time() + wait, self._waiting.setdefault(name, {})
        while not claimed.deliveries:
            moment = now = loop.time()
            if self._closed:
                raise Closed("the engine", "its hub was closed; open another")
            if now >= end:
                break
            moment = end if claimed.next_due is None else min(end, now + claimed.next_due - self.clock())
            # Nothing was awaited since the claim, so that no append in between is missed.
            appends = {} if ledger is None else ledger.log.observer.waiters
            appends[waiter] = waiting[waiter] = None
            timer = loop.call_at(moment, waiter.wake)
            try:
                await waiter
            finally:
                timer.cancel()
                appends.pop(waiter, None)
                del waiting[waiter]
            ledger = self.ledgers.get(name)
            claimed = NOBODY if ledger is None else ledger.claim(limit, lease, owner, self.clock())
        return Fetched(claimed.deliveries, claimed.lag, waited=True)

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Settle deliveries."""
        return self.settle_now(group, pattern, settlements)

    def holds(self, group: str, pattern: str, settlement: Settlement) -> bool:
        """Return true when the token of a settlement is the last one of its delivery."""
        ledger = self.ledgers.get((group, pattern))
        entry = None if ledger is None else ledger.entries.get(settlement.position)
        return entry is not None and entry.token == settlement.token

    def settle_now(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Settle deliveries without waiting, as `settle`."""
        ledger = self.ledgers.get((group, pattern))
        if ledger is None:
            return [False] * len(settlements)
        won = ledger.settle(settlements, self.clock())
        if ledger.stirred():
            self._wake(group, pattern)
        return won

    async def seek(self, group: str, pattern: str, start: Start) -> bool:
        """Move a group to another start."""
        check_seek(pattern, start)
        ledger = self.ledgers.get((group, pattern))
        if ledger is None:
            return False
        ledger.seek(find(ledger.log, start, time())[0])
        self._wake(group, pattern)
        return True

    async def change(self, group: str, pattern: str, change: Change) -> bool:
        """Change a group. ``rest`` changes nothing: a group ends with its process."""
        ledger = self.ledgers.get((group, pattern))
        if ledger is None:
            return False
        if change == "forget":
            del self.ledgers[group, pattern]
            ledger.close()
        elif change != "rest":
            ledger.paused = change == "pause"
        self._wake(group, pattern)
        return True

    async def groups(self) -> list[GroupInfo]:
        """Return all groups."""
        return [self.ledgers[name].info() for name in sorted(self.ledgers)]

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Return dead letters."""
        found = [
            letter for ledger in self.ledgers.values() if group in (None, ledger.group) for letter in ledger.dead()
        ]
        return sorted(found, key=lambda letter: letter.died)[:limit]
