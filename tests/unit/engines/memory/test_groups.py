"""Groups of one process: joining, pausing, forgetting, and who is told."""

from typing import Any

import pytest

from telex.engines.contract.groups import Claimed, Settlement
from telex.engines.memory.groups import MemoryGroups
from telex.log.log import Log, Retention
from telex.message import Message

NOW = 1_000_000.0


class Groups(MemoryGroups):
    """`MemoryGroups` with a log, whose calls of ``stirred`` are in `stirs`."""

    def __init__(self) -> None:
        self.stirs: list[str] = []
        super().__init__(self.stirs.append)
        self.log = Log("t", "epoch", Retention(), 1)

    def publish(self, *contents: object) -> None:
        for content in contents:
            self.log.append(Message(content, "t", self.log.end, self.log.uid, NOW, None, None, 1, None), NOW)

    async def take(self, group: str = "g", limit: int = 100) -> list[Any]:
        return list((await self.claim(group, "t", limit, 30.0, "me", NOW)).deliveries)

    async def end(self, delivery: Any, action: Any, group: str = "g") -> bool:
        (won,) = await self.settle(group, "t", [Settlement(delivery.position, delivery.token, action)], NOW)
        return won


async def test_a_group_begins_where_its_first_member_says() -> None:
    groups = Groups()
    groups.publish(1, 2, 3)
    await groups.join("all", "t", "earliest", groups.log)
    await groups.join("new", "t", "new", groups.log)
    await groups.join("new", "t", "earliest", groups.log)  # the second member changes nothing
    groups.publish(4)
    assert [delivery.message.content for delivery in await groups.take("all")] == [1, 2, 3, 4]
    assert [delivery.message.content for delivery in await groups.take("new")] == [4]
    assert [(info.group, info.pattern) for info in await groups.groups()] == [("all", "t"), ("new", "t")]


async def test_a_group_that_nobody_joined_has_nothing() -> None:
    groups = Groups()
    groups.publish(1)
    settlement = Settlement(1, 1, "ack")
    assert await groups.claim("g", "t", 1, 30.0, "me", NOW) == Claimed((), None, 0)
    assert await groups.settle("g", "t", [settlement, settlement], NOW) == [False, False]
    assert not groups.holds("g", "t", settlement)
    assert not await groups.pause("g", "t", True)
    assert not await groups.rest("g", "t")
    assert not await groups.forget("g", "t")
    assert not await groups.revive("g", "t", 1, NOW)
    assert not await groups.drop("g", "t", 1)
    assert await groups.groups() == []


async def test_the_last_token_of_a_delivery_holds_it() -> None:
    groups = Groups()
    groups.publish(1)
    await groups.join("g", "t", "earliest", groups.log)
    (first,) = await groups.take()
    assert groups.holds("g", "t", Settlement(first.position, first.token, "ack"))
    again = (await groups.claim("g", "t", 1, 30.0, "me", NOW + 31)).deliveries[0]
    assert not groups.holds("g", "t", Settlement(first.position, first.token, "ack"))
    assert groups.holds("g", "t", Settlement(again.position, again.token, "ack"))
    assert not await groups.end(first, "ack")
    assert await groups.end(again, "ack")


async def test_a_paused_group_claims_nothing_and_its_members_are_told_when_it_goes_on() -> None:
    groups = Groups()
    groups.publish(1)
    await groups.join("g", "t", "earliest", groups.log)
    assert await groups.pause("g", "t", True)
    assert await groups.take() == []
    groups.stirs.clear()
    assert await groups.pause("g", "t", False)
    assert groups.stirs == ["t"]
    assert len(await groups.take()) == 1


async def test_a_forgotten_group_begins_again() -> None:
    groups = Groups()
    groups.publish(1, 2)
    await groups.join("g", "t", "earliest", groups.log)
    (first, _) = await groups.take()
    assert await groups.end(first, "ack")
    assert await groups.rest("g", "t")
    groups.stirs.clear()
    assert await groups.forget("g", "t")
    assert groups.stirs == ["t"]
    assert await groups.take() == []
    await groups.join("g", "t", "earliest", groups.log)
    assert [delivery.message.content for delivery in await groups.take()] == [1, 2]


async def test_dead_letters_of_all_groups_come_the_oldest_first() -> None:
    groups = Groups()
    groups.publish(1)
    for name in ("b", "a"):
        await groups.join(name, "t", "earliest", groups.log)
        (delivery,) = await groups.take(name)
        now = NOW + len(await groups.dead())
        settlement = Settlement(delivery.position, delivery.token, "reject", 0.0, name)
        assert await groups.settle(name, "t", [settlement], now) == [True]
    assert [letter.group for letter in await groups.dead()] == ["b", "a"]
    assert [letter.group for letter in await groups.dead(limit=1)] == ["b"]
    assert [letter.reason for letter in await groups.dead("a")] == ["a"]


@pytest.mark.parametrize(("revive", "contents"), [(True, [1]), (False, [])])
async def test_a_dead_letter_is_delivered_again_or_dropped(revive: bool, contents: list[int]) -> None:
    groups = Groups()
    groups.publish(1)
    await groups.join("g", "t", "earliest", groups.log)
    (delivery,) = await groups.take()
    assert await groups.end(delivery, "reject")
    groups.stirs.clear()
    if revive:
        assert await groups.revive("g", "t", delivery.position, NOW)
        assert groups.stirs == ["t"]
    else:
        assert await groups.drop("g", "t", delivery.position)
    assert await groups.dead() == []
    assert not await groups.drop("g", "t", delivery.position)
    again = await groups.take()
    assert [(each.message.content, each.attempt) for each in again] == [(content, 1) for content in contents]
