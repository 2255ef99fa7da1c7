"""`Rig`: an engine without a hub. It does the hub's part of the contract, and records the calls of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from telex.engines.contract import Delivery, Engine, EngineTransaction, Groups, Records, Settlement, Store
from telex.engines.contract.groups import Action
from telex.log.log import Log, Retention
from telex.message import Draft, Message, Reason, check_headers, time_of
from telex.names import Pattern, is_pattern
from telex.process.waiters import Notifier

if TYPE_CHECKING:
    from typing import Self


def message(
    topic: str,
    content: object,
    *,
    id: str | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    published: float | None = None,
) -> Draft:
    """Return a draft as a hub passes it to a store."""
    return Draft(content, topic, id, time() if published is None else published, check_headers(headers), None, key)


class LeaseClock:
    """The time of leases and delays in one test. ``pass_time`` lets so many seconds pass for the engine; ``tick`` is
    the length in seconds of a second of the test.
    """

    def __init__(
        self, tick: float = 1.0, pass_time: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
    ) -> None:
        self.tick = tick
        self._pass_time = pass_time
        self._passed = 0.0

    def now(self) -> float:
        """Return the seconds of the test's clock, which may start at any number."""
        return self._passed / self.tick

    async def reach(self, moment: float) -> None:
        """Let time pass until ``moment``."""
        seconds = moment * self.tick - self._passed
        if seconds > 0:
            self._passed = moment * self.tick
            await self._pass_time(seconds)


class Rig:
    """An open engine, and its events (`telex.engines.EngineEvents`)."""

    def __init__(
        self,
        engine: Engine,
        patience: float = 10.0,
        clock: LeaseClock | None = None,
        follow: Sequence[str] = (">",),
    ) -> None:
        """Follow the names of ``follow`` from the start: all topics by default."""
        self.engine = engine
        self.followed: dict[str, Pattern] = {name: Pattern(name) for name in follow}
        """The topics and patterns that are followed."""
        self.patience = patience
        self.clock: LeaseClock = clock or LeaseClock()
        self.taken: dict[str, list[Message[Any]]] = {}
        """The messages that the engine delivered, by topic; without a store, the published messages."""
        self.gaps: list[tuple[str, int | None, Reason]] = []
        """The gaps that the engine reported."""
        self.removals: list[str] = []
        self.errors: list[Exception] = []
        self.connections: list[str] = []
        """The changes of the connection."""
        self._logs: dict[str, Log] = {}
        self._last: dict[str, int] = {}
        self._problems: list[str] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self.engine.open(self, self)
            self.connections.clear()  # an engine may say what it waits for while it opens
        except BaseException:
            await self.engine.close()
            raise
        if self.engine.store is not None:
            for name in self.followed:
                self.engine.store.follow(name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.engine.close()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Fail when a call of the engine broke the contract."""
        assert not self._problems, "; ".join(self._problems)
        assert not self.errors, f"the engine failed: {self.errors}"

    @property
    def store(self) -> Store:
        """The store of an engine whose tests need one."""
        assert self.engine.store is not None, "the engine has no store"
        return self.engine.store

    @property
    def groups(self) -> Groups:
        """The groups of an engine that declares groups."""
        assert self.engine.groups is not None, "the engine declares groups and has none"
        return self.engine.groups

    @property
    def records(self) -> Records:
        """The records of an engine that declares records."""
        assert self.engine.records is not None, "the engine declares records and has none"
        return self.engine.records

    # -- the part of a hub

    def follow(self, name: str) -> None:
        """Follow a topic or pattern, as for its first reader."""
        self.followed[name] = Pattern(name)
        self.store.follow(name)

    def unfollow(self, name: str) -> None:
        """Unfollow a topic or pattern, as after its last reader."""
        del self.followed[name]
        self.store.unfollow(name)

    def log(self, topic: str) -> Log:
        """Return the local log of a topic or a pattern."""
        log = self._logs.get(topic)
        if log is None:
            self._logs[topic] = log = self.engine.log(topic, Retention())
            log.observer = Notifier()
            if self.engine.store is None and is_pattern(topic):
                fits = Pattern(topic).matches
                kept = [
                    m
                    for name, known in self._logs.items()
                    if fits(name) and not is_pattern(name)
                    for m in known.messages
                ]
                for old in sorted(kept, key=time_of):
                    log.append(old, time_of(old))
        return log

    async def send(
        self, topic: str, *contents: object, id: str | None = None, key: str | None = None
    ) -> list[Message[Any]]:
        """Publish each content to a topic, in one batch."""
        batch = [message(topic, content, id=id, key=key) for content in contents]
        if self.engine.store is not None:
            return list(await self.engine.store.append(batch))
        return [self.publish(draft) for draft in batch]

    def publish(self, draft: Draft) -> Message[Any]:
        """Append to the local logs, for engines without a store."""
        log = self.log(draft.topic)
        new = draft.numbered(log.end, log.uid)
        log.append(new, draft.time)
        for name, other in list(self._logs.items()):
            if is_pattern(name) and Pattern(name).matches(new.topic):
                other.append(new, draft.time)
        self.taken.setdefault(new.topic, []).append(new)
        self._changed.set()
        return new

    async def later(self, draft: Draft, due: float) -> Message[Any]:
        """Store a message that the engine publishes at ``due``."""
        (kept,) = await self.store.append((draft,), due)
        return kept

    def transaction(self) -> EngineTransaction:
        """Return a transaction of the engine."""
        return self.engine.transaction(self.publish)

    async def retain(self, pattern: str, messages: int) -> None:
        """Set the number of messages that topics keep."""
        if self.engine.store is not None:
            await self.engine.store.retain([(pattern, Retention(messages))])
            return
        for name, log in self._logs.items():
            if Pattern(pattern).matches(name):
                log.retain(Retention(messages))

    async def remove(self, topic: str) -> bool:
        """Remove a topic."""
        self._last.pop(topic, None)
        return await self.store.remove(topic)

    # -- groups, with short arguments

    async def join(self, group: str, pattern: str, start: Any = "earliest") -> None:
        """Join a group."""
        await self.groups.join(group, pattern, start, lambda: self.log(pattern))

    async def fetch(
        self,
        group: str,
        pattern: str,
        now: float | None = None,
        limit: int = 100,
        lease: float = 30.0,
        owner: str = "member",
        wait: float = 0.0,
    ) -> list[Delivery]:
        """Lease messages at ``now``. ``now`` and ``lease`` are in seconds of the test, ``wait`` is in real ones."""
        if now is not None:
            await self.clock.reach(now)
        seconds = lease * self.clock.tick
        return list((await self.groups.fetch(group, pattern, limit, seconds, owner, wait)).deliveries)

    async def lag(self, group: str, pattern: str) -> int:
        """Return the lag of a group."""
        infos = await self.groups.groups()
        return next(info.lag for info in infos if (info.group, info.pattern) == (group, pattern))

    async def settle(
        self,
        group: str,
        pattern: str,
        delivery: Delivery,
        action: Action,
        now: float | None = None,
        seconds: float = 0.0,
        reason: str = "",
    ) -> bool:
        """Settle one delivery at ``now``, and return whether the settlement won. All times are those of the test."""
        if now is not None:
            await self.clock.reach(now)
        seconds *= self.clock.tick
        settlement = Settlement(delivery.position, delivery.token, action, seconds, reason)
        won = await self.groups.settle(group, pattern, [settlement])
        assert len(won) == 1, "settle says of each settlement whether it won"
        return won[0]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until ``condition`` is true, checking it after each call that the engine makes to its events. Fail after
        `patience` seconds.
        """
        try:
            async with asyncio.timeout(self.patience):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"within {self.patience:g} s the engine did not deliver {what}") from None

    def contents(self, topic: str) -> list[Any]:
        """Return the contents that the engine delivered for a topic, in order."""
        return [new.content for new in self.taken.get(topic, ())]

    # -- telex.engines.Decoder

    def decode(self, data: object, topic: str, type: str | None) -> object:
        """Return plain data unchanged."""
        return data

    def decodes(self, topic: str, types: Iterable[str]) -> bool:
        """Return false: no topic has a declared type."""
        return False

    # -- telex.engines.EngineEvents

    def deliver(self, messages: Sequence[Message[Any]]) -> None:
        """Record the messages, and check that each has a larger number than the message before."""
        for new in messages:
            last = self._last.get(new.topic, 0)
            if new.seq <= last:
                self._problems.append(f"the engine delivered number {new.seq} of {new.topic} after number {last}")
            if not any(pattern.matches(new.topic) for pattern in self.followed.values()):
                self._problems.append(f"the engine delivered a message of {new.topic}, which is not followed")
            self._last[new.topic] = new.seq
            self.taken.setdefault(new.topic, []).append(new)
        self._changed.set()

    def gap(self, topic: str, count: int | None, reason: Reason) -> None:
        """Record a gap, or that the topic was removed."""
        if reason == "epoch":
            self._last.pop(topic, None)
            self.removals.append(topic)
        else:
            self.gaps.append((topic, count, reason))
            if count is None and self.engine.guarantees.counted_gaps:
                self._problems.append(f"the number of the messages of {topic} that are missing is unknown")
        if reason not in ("trimmed", "epoch"):
            self._problems.append(f"messages of {topic} are missing: {reason}")
        self._changed.set()

    def disconnected(self, problem: str) -> None:
        """Record that the engine has lost its server."""
        if not problem:
            self._problems.append("the engine does not say why it is disconnected")
        self.connections.append("disconnected")
        self._changed.set()

    def connected(self) -> None:
        """Record that the engine has reached its server again."""
        if self.connections[-1:] != ["disconnected"]:
            self._problems.append("the engine is connected again, and was not disconnected")
        self.connections.append("connected")
        self._changed.set()

    def failed(self, error: Exception) -> None:
        """Record that the engine has failed."""
        self.errors.append(error)
        self._changed.set()
