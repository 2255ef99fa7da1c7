"""`MemoryGroups`: the consumer groups of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time
from typing import TYPE_CHECKING

from telex.engines.contract.groups import Claimed, DeadLetter, GroupInfo, Settlement
from telex.engines.memory.lease_table import LeaseTable
from telex.log.start import Start, find

if TYPE_CHECKING:
    from telex.log.log import Log

NOBODY = Claimed((), None, 0)


class MemoryGroups:
    """The `telex.engines.Groups` of one process, with a `LeaseTable` for each group. ``stirred`` is called with a
    pattern when one of its groups may have something to claim.
    """

    def __init__(self, stirred: Callable[[str], None]) -> None:
        self._stirred = stirred
        self.ledgers: dict[tuple[str, str], LeaseTable] = {}

    async def join(self, group: str, pattern: str, start: Start, log: Log) -> None:
        """Create the group of a member if there is none."""
        ledger = self.ledgers.get((group, pattern))
        if ledger is None:
            self.ledgers[group, pattern] = LeaseTable(group, pattern, log, find(log, start, time())[0])

    async def claim(self, group: str, pattern: str, limit: int, lease: float, owner: str, now: float) -> Claimed:
        """Lease messages."""
        ledger = self.ledgers.get((group, pattern))
        return NOBODY if ledger is None else ledger.claim(limit, lease, owner, now)

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement], now: float) -> Sequence[bool]:
        """Settle deliveries."""
        return self.settle_now(group, pattern, settlements, now)

    def holds(self, group: str, pattern: str, settlement: Settlement) -> bool:
        """Return true when the token of a settlement is the last one of its delivery."""
        ledger = self.ledgers.get((group, pattern))
        entry = None if ledger is None else ledger.entries.get(settlement.position)
        return entry is not None and entry.token == settlement.token

    def settle_now(self, group: str, pattern: str, settlements: Sequence[Settlement], now: float) -> Sequence[bool]:
        """Settle deliveries without waiting, as `settle`."""
        ledger = self.ledgers.get((group, pattern))
        if ledger is None:
            return [False] * len(settlements)
        won = ledger.settle(settlements, now)
        if ledger.stirred():
            self._stirred(pattern)
        return won

    def check_outside(self) -> None:
        """Do nothing: no settlement waits for a transaction."""

    async def pause(self, group: str, pattern: str, paused: bool) -> bool:
        """Stop or resume claiming."""
        ledger = self.ledgers.get((group, pattern))
        if ledger is None:
            return False
        ledger.paused = paused
        self._stirred(pattern)
        return True

    async def rest(self, group: str, pattern: str) -> bool:
        """Return true when there is such a group. It changes nothing: a group ends with its process."""
        return (group, pattern) in self.ledgers

    async def forget(self, group: str, pattern: str) -> bool:
        """Remove a group."""
        ledger = self.ledgers.pop((group, pattern), None)
        if ledger is None:
            return False
        ledger.close()
        self._stirred(pattern)
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

    async def revive(self, group: str, pattern: str, position: int, now: float) -> bool:
        """Deliver a dead letter again."""
        ledger = self.ledgers.get((group, pattern))
        revived = ledger is not None and ledger.revive(position, now)
        self._stirred(pattern)
        return revived

    async def drop(self, group: str, pattern: str, position: int) -> bool:
        """Delete a dead letter."""
        ledger = self.ledgers.get((group, pattern))
        return ledger is not None and ledger.drop(position)
