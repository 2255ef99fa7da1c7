"""Parts of the tests of groups: engines that write down what is asked of them, and hubs that can be waited for."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

import telex
from telex.engines.contract.groups import Fetched, Settlement
from telex.engines.memory.engine import MemoryEngine
from telex.engines.memory.groups import MemoryGroups
from tests.support.internals import engine_of, groups_of

QUICK = telex.Retry(attempts=2, first=0.0, jitter=0.0)


class Watched(MemoryGroups):
    """Groups that write down what is asked of them, and fail when they are told to."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.claims: list[int] = []
        self.batches: list[list[Settlement]] = []
        self.fail = 0
        self.away = 0.0

    async def fetch(self, *arguments: Any) -> Fetched:
        self._may_fail("fetch")
        await self._travel()
        fetched = await super().fetch(*arguments)
        self.claims.append(len(fetched.deliveries))
        return fetched

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        self._may_fail("settle")
        await self._travel()
        self.batches.append(list(settlements))
        return await super().settle(group, pattern, settlements)

    async def _travel(self) -> None:
        if self.away:
            await asyncio.sleep(self.away)

    def _may_fail(self, what: str) -> None:
        if self.fail:
            self.fail -= 1
            raise telex.EngineFailed(what, "as it was told")

    def actions(self) -> list[list[str]]:
        return [[settlement.action for settlement in batch] for batch in self.batches]


def watched(clock: Callable[[], float] = time, **options: Any) -> tuple[telex.Hub, Watched]:
    engine = MemoryEngine(clock=clock)
    engine.groups = groups = Watched(engine.now)
    return telex.Hub(engine, clock=clock, **options), groups


async def info(hub: telex.Hub, group: str = "g") -> telex.GroupInfo:
    return next(found for found in await hub.groups.list() if found.group == group)


def accounts(hub: telex.Hub) -> telex.HandlerStatistics:
    return hub.statistics().handlers[0]


class Telling:
    """The groups of an engine; ``changed`` is set after each step that may leave a group with nothing to do."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.changed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def join(self, *arguments: Any) -> None:
        await self.inner.join(*arguments)
        self.changed.set()

    async def settle(self, *arguments: Any) -> Sequence[bool]:
        won: Sequence[bool] = await self.inner.settle(*arguments)
        self.changed.set()
        return won


def telling(url: str, **options: Any) -> telex.Hub:
    """A hub whose groups `settled` can wait for."""
    hub = telex.Hub(url, **options)
    engine_of(hub).groups = Telling(groups_of(hub))
    return hub


async def settled(hub: telex.Hub, group: str = "billing") -> telex.GroupInfo:
    """The group, when it has nothing left; `run_alone` ends who waits for ever."""
    groups = groups_of(hub)
    assert isinstance(groups, Telling)
    while True:
        groups.changed.clear()
        for found in await hub.groups.list():
            if found.group == group and not found.lag:
                return found
        await groups.changed.wait()


class Placed:
    pass


class Express(Placed):
    pass


class Paid:
    pass


@dataclass
class Order:
    number: int
