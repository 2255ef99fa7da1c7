"""Settling: what becomes of leased messages, also when their lease has ended."""

from pathlib import Path
from time import time
from typing import Any

from telex.engines import Delivery, Settlement
from telex.engines.contract.groups import Action
from telex.testing.conformance.suite import settle_dead
from tests.unit.engines.sqlite.rigs import (
    G,
    ask,
    claim,
    contents,
    groups_of,
    publish_numbers,
    rig_on,
    rigs_on,
    send,
    settle,
)


async def test_a_message_held_by_a_group_alone_is_deleted_when_it_is_settled(
    tmp_path: Path,
) -> None:
    kept = "SELECT count(*) FROM telex_messages WHERE seq <= 5"
    async with rigs_on(tmp_path, sweep_messages=1) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", *range(5), ago=60)
        acked, rejected, dropped, *_ = (await claim(rig, "a:1")).deliveries
        await rig.retain("a:1", 1)
        for n in range(20):  # deleting is done beside publishing
            await send(rig, "a:1", n, ago=50)
            if ask(tmp_path, "SELECT swept > 5 FROM telex_topics") == [(1,)]:
                break
            await claim(rig, "a:1")
        assert ask(tmp_path, "SELECT swept > 5 FROM telex_topics") == [(1,)]
        assert ask(tmp_path, kept) == [(5,)]
        done = [
            Settlement(acked.position, acked.token, "ack"),
            Settlement(rejected.position, rejected.token, "reject"),
            Settlement(dropped.position, dropped.token, "reject"),
        ]
        assert await settle(rig, "a:1", done) == [True] * 3
        assert ask(tmp_path, kept) == [(4,)]
        assert await settle_dead(groups_of(rig), G, "a:1", dropped.position, "drop")
        assert ask(tmp_path, kept) == [(3,)]
        assert await groups_of(rig).change(G, "a:1", "forget")
        assert ask(tmp_path, kept) == [(0,)]


async def test_a_removed_topic_leaves_nothing_in_a_group(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        await rig.join(G, "a:*")
        await send(rig, "a:1", "first", key="k")
        await send(rig, "a:2", "second", key="k")
        await send(rig, "a:1", "dies", "waits")
        claimed = await claim(rig, "a:*", 2)
        first, dies = claimed.deliveries
        assert claimed.lag == 4
        assert await settle(rig, "a:*", [Settlement(dies.position, dies.token, "reject")]) == [True]
        await rig.remove("a:1")
        (info,) = await groups_of(rig).groups()
        assert (info.lag, info.leased, info.dead) == (1, 0, 0)
        assert await settle(rig, "a:*", [Settlement(first.position, first.token, "ack")]) == [False]
        assert await contents(rig, "a:*") == ["second"], "what was removed holds nobody up"
        await send(rig, "a:1", "anew")
        assert (await claim(rig, "a:*")).lag == 1


async def test_a_lease_that_has_ended_is_settled_while_nobody_else_has_it(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", 1, 2, 3, 4)
        now = time()
        deliveries = (await claim(rig, "a:1", now=now)).deliveries
        done = [
            Settlement(deliveries[0].position, deliveries[0].token, "ack"),
            Settlement(deliveries[1].position, deliveries[1].token, "extend", 60),
            Settlement(deliveries[2].position, deliveries[2].token, "reject"),
        ]
        assert await settle(rig, "a:1", done, now + 40) == [True] * 3
        again = await claim(rig, "a:1", now=now + 50)
        assert [delivery.message.content for delivery in again.deliveries] == [4]
        assert await settle(rig, "a:1", done[1:2], now + 120) == [True], "nobody took it since"


async def test_a_lease_that_has_ended_goes_on_only_while_its_key_is_free(tmp_path: Path) -> None:
    async with rigs_on(tmp_path) as (rig,):
        groups, now = groups_of(rig), time()
        await rig.join(G, "a:1")
        await send(rig, "a:1", "oldest", "older", "young", key="k")

        async def settle_one(delivery: Delivery, action: Action, moment: float) -> bool:
            asked = Settlement(delivery.position, delivery.token, action, 60)
            (won,) = await settle(rig, "a:1", [asked], moment)
            return won

        (oldest,) = (await claim(rig, "a:1", now=now)).deliveries
        assert await settle_one(oldest, "reject", now)
        (older,) = (await claim(rig, "a:1", now=now)).deliveries
        assert await settle_one(older, "reject", now)
        (young,) = (await claim(rig, "a:1", now=now)).deliveries
        assert await settle_dead(groups, G, "a:1", older.position, "retry")
        (older,) = (await claim(rig, "a:1", now=now + 40)).deliveries
        assert older.message.content == "older"
        assert not await settle_one(young, "extend", now + 40), "another of its key is worked on"
        assert await settle_dead(groups, G, "a:1", oldest.position, "retry")
        assert await settle_one(young, "ack", now + 40)
        assert list((await claim(rig, "a:1", now=now + 40)).deliveries) == []
        assert await settle_one(older, "ack", now + 40)
        (oldest,) = (await claim(rig, "a:1", now=now + 40)).deliveries
        assert oldest.message.content == "oldest"


async def test_a_lease_is_renewed_when_that_of_the_other_of_its_key_has_ended(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        groups, now = rig.engine.groups, time()
        assert groups is not None

        async def claim_one(at: float) -> Any:
            (delivery,) = (await claim(rig, "t", now=at, group="g")).deliveries
            return delivery

        async def settle_one(delivery: Any, action: Any, at: float) -> bool:
            asked = Settlement(delivery.position, delivery.token, action, seconds=30.0)
            (won,) = await settle(rig, "t", [asked], at, group="g")
            return won

        await rig.join("g", "t")
        await publish_numbers(rig, "t", 2, key="k")
        first = await claim_one(now)
        assert await settle_one(first, "reject", now)
        second = await claim_one(now)
        assert await settle_dead(groups, "g", "t", first.position, "retry")  # behind the second, which is leased
        revived = await claim_one(now + 31)  # the lease of the second has ended, and the oldest goes first
        assert revived.position == first.position
        assert not await settle_one(second, "extend", now + 40), "the first is worked on"
        assert await settle_one(second, "extend", now + 62), "the lease of the first has ended"
