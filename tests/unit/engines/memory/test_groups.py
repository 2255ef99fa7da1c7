"""Groups of one process: joining, pausing, forgetting, and which fetches go on."""

import asyncio
from itertools import repeat
from typing import Any

import pytest

from telex.engines.contract.groups import Change, Fetched, Settlement
from telex.engines.memory.groups import MemoryGroups
from telex.log.log import Log, Retention
from telex.message import Message
from telex.testing.conformance.suite import settle_dead
from tests.support.loops import idle

NOW = 1_000_000.0


class Groups(MemoryGroups):
    """`MemoryGroups` with a log."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW)
        self.log = Log("t", "epoch", Retention(), 1)

    def publish(self, *contents: object) -> None:
        for content in contents:
            self.log.append(Message(content, "t", self.log.end, self.log.uid, NOW, None, None, 1, None), NOW)

    async def take(self, group: str = "g", limit: int = 100) -> list[Any]:
        return list((await self.fetch(group, "t", limit, 30.0, "me", 0.0)).deliveries)

    async def end(self, delivery: Any, action: Any, group: str = "g") -> bool:
        (won,) = await self.settle(group, "t", [Settlement(delivery.position, delivery.token, action)])
        return won


async def test_a_group_begins_where_its_first_member_says() -> None:
    groups = Groups()
    groups.publish(1, 2, 3)
    await groups.join("all", "t", "earliest", lambda: groups.log)
    await groups.join("new", "t", "new", lambda: groups.log)
    await groups.join("new", "t", "earliest", lambda: groups.log)  # the second member changes nothing
    groups.publish(4)
    assert [delivery.message.content for delivery in await groups.take("all")] == [1, 2, 3, 4]
    assert [delivery.message.content for delivery in await groups.take("new")] == [4]
    assert [(info.group, info.pattern) for info in await groups.groups()] == [("all", "t"), ("new", "t")]


async def test_a_group_that_nobody_joined_has_nothing() -> None:
    groups = Groups()
    groups.publish(1)
    settlement = Settlement(1, 1, "ack")
    assert await groups.fetch("g", "t", 1, 30.0, "me", 0.0) == Fetched((), 0)
    assert await groups.settle("g", "t", [settlement, settlement]) == [False, False]
    assert not groups.holds("g", "t", settlement)
    changes: tuple[Change, ...] = ("pause", "resume", "rest", "forget")
    for change in changes:
        assert not await groups.change("g", "t", change)
    assert not await settle_dead(groups, "g", "t", 1, "retry")
    assert not await settle_dead(groups, "g", "t", 1, "drop")
    assert await groups.groups() == []


async def test_the_last_token_of_a_delivery_holds_it() -> None:
    groups = Groups()
    groups.publish(1)
    await groups.join("g", "t", "earliest", lambda: groups.log)
    (first,) = await groups.take()
    assert groups.holds("g", "t", Settlement(first.position, first.token, "ack"))
    groups.clock = lambda: NOW + 31
    again = (await groups.fetch("g", "t", 1, 30.0, "me", 0.0)).deliveries[0]
    assert not groups.holds("g", "t", Settlement(first.position, first.token, "ack"))
    assert groups.holds("g", "t", Settlement(again.position, again.token, "ack"))
    assert not await groups.end(first, "ack")
    assert await groups.end(again, "ack")


async def waiting(groups: Groups) -> asyncio.Task[Fetched]:
    """A fetch that found nothing, and waits."""
    task = asyncio.create_task(groups.fetch("g", "t", 100, 30.0, "me", 3600.0))
    await idle()
    assert not task.done()
    return task


async def test_a_fetch_that_waits_goes_on_when_its_group_does() -> None:
    groups = Groups()
    groups.publish(1)
    await groups.join("g", "t", "earliest", lambda: groups.log)
    assert await groups.change("g", "t", "pause")
    assert await groups.take() == []
    task = await waiting(groups)
    assert await groups.change("g", "t", "resume")
    assert len((await task).deliveries) == 1


async def test_a_forgotten_group_begins_again() -> None:
    groups = Groups()
    groups.publish(1, 2)
    await groups.join("g", "t", "earliest", lambda: groups.log)
    (first, _) = await groups.take()
    assert await groups.end(first, "ack")
    assert await groups.change("g", "t", "rest")
    assert await groups.change("g", "t", "forget")
    assert await groups.take() == []
    await groups.join("g", "t", "earliest", lambda: groups.log)
    assert [delivery.message.content for delivery in await groups.take()] == [1, 2]


async def test_dead_letters_of_all_groups_come_the_oldest_first() -> None:
    groups = Groups()
    groups.publish(1)
    for name in ("b", "a"):
        await groups.join(name, "t", "earliest", lambda: groups.log)
        (delivery,) = await groups.take(name)
        groups.clock = repeat(NOW + len(await groups.dead())).__next__
        settlement = Settlement(delivery.position, delivery.token, "reject", 0.0, name)
        assert await groups.settle(name, "t", [settlement]) == [True]
    assert [letter.group for letter in await groups.dead()] == ["b", "a"]
    assert [letter.group for letter in await groups.dead(limit=1)] == ["b"]
    assert [letter.reason for letter in await groups.dead("a")] == ["a"]


@pytest.mark.parametrize(("revive", "contents"), [(True, [1]), (False, [])])
async def test_a_dead_letter_is_delivered_again_or_dropped(revive: bool, contents: list[int]) -> None:
    groups = Groups()
    groups.publish(1)
    await groups.join("g", "t", "earliest", lambda: groups.log)
    (delivery,) = await groups.take()
    assert await groups.end(delivery, "reject")
    task = await waiting(groups)
    assert await settle_dead(groups, "g", "t", delivery.position, "retry" if revive else "drop")
    await idle()
    assert task.done() is revive, "it is delivered at once"
    task.cancel()
    await asyncio.wait({task})
    assert await groups.dead() == []
    assert not await settle_dead(groups, "g", "t", delivery.position, "drop")
    again = task.result().deliveries if revive else await groups.take()
    assert [(each.message.content, each.attempt) for each in again] == [(content, 1) for content in contents]
