"""Consumer groups of the engine that pretends: every message of a group is an item of a dict."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from time import time
from typing import Any

import msgspec

from telex.engines import DeadLetter, Delivery, Fetched, GroupInfo, Settlement
from telex.engines.contract.groups import DEAD_LETTER_ACTIONS, Change
from telex.engines.fetching import Attempt, FetchWaiters
from telex.log.log import Log
from telex.log.start import ROUNDING, Start, check_seek
from telex.message import Message, Position, time_of
from telex.names import Pattern


class Item:
    """A message that a group has not settled."""

    def __init__(self, message: Message[Any]) -> None:
        self.message = message
        self.attempt = 0
        self.token = 0
        self.lease_end: float | None = None  # None: nobody has it
        self.due = 0.0
        self.died: float | None = None
        self.reason = ""

    def free(self, now: float) -> bool:
        return (self.lease_end is None or self.lease_end <= now) and self.due <= now


class Group:
    """One group on one pattern."""

    def __init__(self, name: str, pattern: str) -> None:
        self.name = name
        self.pattern = pattern
        self.fits = Pattern(pattern).matches
        self.items: dict[int, Item] = {}
        self.last = 0
        self.token = 0
        self.paused = False

    def offer(self, message: Message[Any]) -> None:
        if self.fits(message.topic):
            self.last += 1
            self.items[self.last] = Item(message)

    def alive(self) -> dict[int, Item]:
        return {position: item for position, item in self.items.items() if item.died is None}

    def dead(self) -> dict[int, Item]:
        return {position: item for position, item in self.items.items() if item.died is not None}

    def first_of_their_keys(self, now: float) -> dict[int, Item]:
        """Those that no earlier one of the same key is before, and of whose key nobody has one."""
        alive = self.alive().items()
        found = {p: item for p, item in alive if item.message.key and item.lease_end and item.lease_end > now}
        keys = {item.message.key for item in found.values()}
        for position, item in self.alive().items():
            if item.message.key not in keys:
                found[position] = item
            if item.message.key is not None:
                keys.add(item.message.key)
        return found

    def claim(self, limit: int, lease: float, now: float) -> Attempt:
        if self.paused:
            return Attempt(Fetched([], len(self.alive())))
        ready = [(position, item) for position, item in self.first_of_their_keys(now).items() if item.free(now)]
        ready.sort(key=lambda pair: (pair[1].attempt == 0, pair[0]))
        deliveries = []
        for position, item in ready[:limit]:
            self.token += 1
            item.attempt += 1
            item.token, item.lease_end = self.token, now + lease
            deliveries.append(Delivery(item.message, position, item.attempt, item.token))
        moments = [max(item.lease_end or 0.0, item.due) for item in self.alive().values()]
        due = min((moment - now for moment in moments if moment > now), default=None)
        return Attempt(Fetched(deliveries, len(self.alive())), due)

    def holds(self, settlement: Settlement) -> bool:
        item = self.items.get(settlement.position)
        return not (item is None or item.died is not None or item.lease_end is None or item.token != settlement.token)

    def settle(self, settlement: Settlement, now: float) -> bool:
        if settlement.action in DEAD_LETTER_ACTIONS:
            letter = self.dead().get(settlement.position)
            if letter is None:
                return False
            if settlement.action == "retry":
                letter.died, letter.attempt, letter.due, letter.reason = None, 0, 0.0, ""
            else:
                del self.items[settlement.position]
            return True
        if not self.holds(settlement):
            return False
        item = self.items[settlement.position]
        match settlement.action:
            case "ack":
                del self.items[settlement.position]
            case "nack" | "release":
                item.attempt -= settlement.action == "release"
                item.lease_end, item.due, item.reason = None, now + settlement.seconds, settlement.reason
            case "reject":
                item.lease_end, item.died, item.reason = None, now, settlement.reason
            case "extend":
                item.lease_end = now + settlement.seconds
        return True

    def info(self, now: float) -> GroupInfo:
        alive = self.alive()
        leased = sum(item.lease_end is not None and item.lease_end > now for item in alive.values())
        first = self.first_of_their_keys(now)
        delayed = sum(
            item.due > now or position not in first
            for position, item in alive.items()
            if item.lease_end is None or item.lease_end <= now
        )
        return GroupInfo(self.name, self.pattern, len(alive), leased, delayed, len(self.dead()), self.paused)


class PretendGroups:
    """`telex.engines.Groups`, on a server's groups."""

    def __init__(
        self,
        groups: dict[tuple[str, str], Group],
        fetches: FetchWaiters,
        stir: Callable[[], None],
        in_order: Callable[[Sequence[str], float], list[Message[Any]]],
        kept: Callable[[], Mapping[str, Log]],
        now: Callable[[], float],
        decode: Callable[[Message[Any]], Message[Any]],
    ) -> None:
        self.known = groups
        self.fetches = fetches
        self.stir = stir
        self.in_order = in_order
        self.kept = kept
        self.now = now
        self.decode = decode

    async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
        if (group, pattern) in self.known:
            return
        self.known[group, pattern] = Group(group, pattern)
        self.begin(self.known[group, pattern], start)

    def begin(self, new: Group, start: Start, but: Collection[tuple[str, int]] = ()) -> None:
        """Give a group the kept messages from its start, except some."""
        pattern = new.pattern
        if start == "new":
            return
        messages = self.in_order([topic for topic in self.kept() if new.fits(topic)], time())
        match start:
            case int():
                messages = messages[-start:] if start else []
            case datetime() | timedelta():
                since = time() - start.total_seconds() if isinstance(start, timedelta) else start.timestamp() - ROUNDING
                messages = [message for message in messages if time_of(message) >= since]
            case Position(seq=seq, epoch=epoch) if pattern in self.kept() and epoch == self.kept()[pattern].epoch:
                messages = [message for message in messages if message.seq > seq]
        for message in messages:
            if (message.topic, message.seq) not in but:
                new.offer(message)

    async def seek(self, group: str, pattern: str, start: Start) -> bool:
        check_seek(pattern, start)
        found, now = self.known.get((group, pattern)), self.now()
        if found is None:
            return False
        found.items = {
            position: item
            for position, item in found.items.items()
            if item.died is not None or (item.lease_end is not None and item.lease_end > now)
        }
        self.begin(found, start, {(item.message.topic, item.message.seq) for item in found.items.values()})
        self.stir()
        return True

    async def fetch(self, group: str, pattern: str, limit: int, lease: float, owner: str, wait: float) -> Fetched:
        async def attempt(is_published: bool) -> Attempt:
            found = self.known.get((group, pattern))
            if found is None:
                return Attempt(Fetched([], 0))
            fetched, due = found.claim(limit, lease, self.now())
            deliveries = [
                msgspec.structs.replace(each, message=self.decode(each.message)) for each in fetched.deliveries
            ]
            return Attempt(Fetched(deliveries, fetched.lag), due)

        async def release(given: Sequence[Delivery]) -> None:
            await self.settle(group, pattern, [Settlement(each.position, each.token, "release") for each in given])

        return await self.fetches.fetch(pattern, wait, attempt, release)

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        found = self.known.get((group, pattern))
        won = [found is not None and found.settle(settlement, self.now()) for settlement in settlements]
        self.stir()
        return won

    async def change(self, group: str, pattern: str, change: Change) -> bool:
        found = self.known.get((group, pattern))
        if found is None:
            return False
        if change == "forget":
            del self.known[group, pattern]
        elif change != "rest":
            found.paused = change == "pause"
        self.stir()
        return True

    async def groups(self) -> list[GroupInfo]:
        return [self.known[name].info(self.now()) for name in sorted(self.known)]

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        letters = [
            DeadLetter(it.name, it.pattern, position, item.message, item.attempt, item.reason, item.died or 0.0)
            for it in self.known.values()
            if group is None or it.name == group
            for position, item in it.dead().items()
        ]
        return sorted(letters, key=lambda letter: letter.died)[:limit]
