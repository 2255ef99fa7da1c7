"""Consumer groups in plain Python, and a run of an engine's groups beside it.

The model says exactly what a claim gives, in which order and with which attempt, which settlements win, the lag and the
dead letters. `steps` makes what a run does; `run` does it to the engines that share a group, one of them at a time.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any

from hypothesis import strategies as st

from telex.engines import Delivery, Engine, Groups, Settlement
from telex.engines.contract.groups import Action
from telex.names import Pattern
from telex.testing.conformance.rig import Rig
from telex.testing.conformance.suite import settle_dead

GROUP = "billing"
TOPICS = ("t:1", "t:2", "x:1")


@dataclass
class Item:
    """A message of the group that is not acked."""

    content: int
    topic: str
    key: str | None
    attempt: int = 0
    token: int = 0
    live: bool = False  # whether the token settles
    lease_end: float = 0.0
    due: float = 0.0
    dead: bool = False
    reason: str = ""

    def is_leased(self, now: float) -> bool:
        return self.live and self.lease_end > now


@dataclass
class Model:
    """The group as it should be."""

    pattern: str
    items: list[Item] = field(default_factory=list)
    paused: bool = False

    def publish(self, topic: str, content: int, key: str | None) -> None:
        if Pattern(self.pattern).matches(topic):
            self.items.append(Item(content, topic, key))

    def open(self) -> list[Item]:
        return [item for item in self.items if not item.dead]

    def may_go(self, now: float) -> list[Item]:
        found, seen = [], set()
        leased = {item.key for item in self.open() if item.key and item.is_leased(now)}
        for item in self.open():
            first, free = item.key not in seen, not item.is_leased(now) and item.due <= now
            if item.key is not None:
                seen.add(item.key)
            if free and (item.key is None or (first and item.key not in leased)):
                found.append(item)
        return sorted(found, key=lambda item: (item.attempt == 0, self.items.index(item)))

    def claim(self, limit: int, lease: float, now: float) -> list[Item]:
        taken = [] if self.paused else self.may_go(now)[:limit]
        for item in taken:
            item.attempt += 1
            item.live, item.lease_end, item.due = True, now + lease, 0.0
        return taken

    def settle(self, item: Item, token: int, action: Action, seconds: float, reason: str, now: float) -> bool:
        if item not in self.items or item.dead or not item.live or item.token != token:
            return False
        if action == "extend":
            others = [other for other in self.open() if other.key == item.key and other is not item]
            if item.key is not None and any(other.is_leased(now) for other in others):
                return False
            item.lease_end = now + seconds
            return True
        item.live = False
        if action == "ack":
            self.items.remove(item)
        elif action in {"nack", "release"}:
            item.attempt -= action == "release"
            item.due = now + seconds
        else:
            item.dead, item.reason = True, reason
        return True

    def revive(self, item: Item) -> bool:
        if item not in self.items or not item.dead:
            return False
        item.dead, item.attempt, item.due = False, 0, 0.0
        return True

    def drop(self, item: Item) -> bool:
        if item not in self.items or not item.dead:
            return False
        self.items.remove(item)
        return True

    def remove(self, topic: str) -> None:
        self.items = [item for item in self.items if item.topic != topic]


Step = tuple[Any, ...]
KEYS = st.sampled_from([None, None, "a", "b"])
SECONDS = st.sampled_from([0.0, 5.0, 10.0, 40.0])


def steps(*, removal: bool) -> st.SearchStrategy[list[Step]]:
    """What a run does. What it does it to is said by a number, counted from the newest."""
    number = st.one_of(st.integers(0, 4), st.integers(0, 40))
    some: list[st.SearchStrategy[Step]] = [
        st.tuples(st.just("publish"), st.sampled_from(TOPICS), st.lists(KEYS, min_size=1, max_size=5)),
        st.tuples(st.just("claim"), st.integers(1, 6), st.sampled_from([10.0, 30.0])),
        st.tuples(st.just("claim"), st.integers(1, 6), st.sampled_from([10.0, 30.0])),
        st.tuples(
            st.just("settle"),
            st.lists(
                st.tuples(number, st.sampled_from(["ack", "ack", "nack", "release", "reject", "extend"]), SECONDS),
                min_size=1,
                max_size=4,
            ),
        ),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 6.0, 11.0, 31.0])),
        st.tuples(st.just("revive"), number),
        st.tuples(st.just("drop"), number),
        st.tuples(st.just("come_back"), number),
        st.tuples(st.just("pause"), st.booleans()),
    ]
    if removal:
        some.append(st.tuples(st.just("remove"), st.sampled_from(TOPICS)))
    return st.lists(st.one_of(some), min_size=20, max_size=60)  # with less, most runs are short


class Run:
    """One group of an engine beside its model. ``rigs`` are open on the same data."""

    def __init__(self, rigs: Sequence[Rig], pattern: str, set_time: Callable[[Engine, float], None]) -> None:
        self.rigs = rigs
        self.pattern = pattern
        self.model = Model(pattern)
        self.now = time()
        self.set_time = set_time
        self.turn = 0
        self.count = 0
        self.given: list[tuple[Item, Delivery]] = []  # all deliveries ever
        self.died: list[tuple[Item, int]] = []  # what was ever dead, and its position
        self.last_token = 0

    @property
    def rig(self) -> Rig:
        """Another one every time."""
        self.turn += 1
        rig = self.rigs[self.turn % len(self.rigs)]
        self.set_time(rig.engine, self.now)
        return rig

    @property
    def groups(self) -> Groups:
        groups = self.rig.engine.groups
        assert groups is not None
        return groups

    async def do(self, plan: Sequence[Step]) -> None:
        for rig in self.rigs:
            await rig.join(GROUP, self.pattern)
        for name, *arguments in plan:
            step: Callable[..., Awaitable[None]] = getattr(self, name)
            await step(*arguments)
            await self.check()
        await self.pause(False)
        await self.wait(1000.0)
        while await self.claim(3, 1000.0):
            await self.settle([(number, "ack", 0.0) for number in range(3)])
        await self.check()
        assert not self.model.open()

    async def publish(self, topic: str, keys: Sequence[str | None]) -> None:
        for key in keys:
            self.count += 1
            self.model.publish(topic, self.count, key)
            await self.rig.send(topic, self.count, key=key)

    async def claim(self, limit: int, lease: float) -> int:
        expected = self.model.claim(limit, lease, self.now)
        claimed = await self.groups.fetch(GROUP, self.pattern, limit, lease, "me", 0.0)
        got = [(delivery.message.content, delivery.message.key, delivery.attempt) for delivery in claimed.deliveries]
        assert got == [(item.content, item.key, item.attempt) for item in expected]
        for item, delivery in zip(expected, claimed.deliveries, strict=True):
            assert delivery.token > item.token
            assert delivery.message.topic == item.topic
            item.token = delivery.token
            self.given.append((item, delivery))
        assert claimed.lag == len(self.model.open())
        return len(expected)

    async def settle(self, some: Sequence[tuple[int, Action, float]]) -> None:
        if not self.given:
            return
        settlements, expected = [], []
        for number, action, seconds in some:
            item, delivery = self.given[-1 - number % len(self.given)]
            reason = f"{action} {number}"
            settlements.append(Settlement(delivery.position, delivery.token, action, seconds, reason))
            expected.append(self.model.settle(item, delivery.token, action, seconds, reason, self.now))
            if item.dead:
                self.died.append((item, delivery.position))
        won = await self.groups.settle(GROUP, self.pattern, settlements)
        assert list(won) == expected

    async def wait(self, seconds: float) -> None:
        self.now += seconds

    async def revive(self, number: int) -> None:
        if self.died:
            item, position = self.died[-1 - number % len(self.died)]
            again = await settle_dead(self.groups, GROUP, self.pattern, position, "retry")
            assert again is self.model.revive(item)

    async def come_back(self, number: int) -> None:
        """An older message of a key is there again when a younger one is worked on."""
        await self.settle([(number, "reject", 0.0)])
        await self.claim(6, 10.0)
        await self.revive(0)

    async def drop(self, number: int) -> None:
        if self.died:
            item, position = self.died[-1 - number % len(self.died)]
            dropped = await settle_dead(self.groups, GROUP, self.pattern, position, "drop")
            assert dropped is self.model.drop(item)

    async def pause(self, paused: bool) -> None:
        self.model.paused = paused
        assert await self.groups.change(GROUP, self.pattern, "pause" if paused else "resume")

    async def remove(self, topic: str) -> None:
        self.model.remove(topic)
        rig = self.rig
        await rig.remove(topic)

    async def check(self) -> None:
        """What the group tells of itself."""
        (info,) = await self.groups.groups()
        dead = [item for item in self.model.items if item.dead]
        assert (info.lag, info.dead, info.paused) == (len(self.model.open()), len(dead), self.model.paused)
        letters = {(x.message.content, x.attempts, x.reason) for x in await self.groups.dead(GROUP)}
        assert letters == {(item.content, item.attempt, item.reason) for item in dead}
