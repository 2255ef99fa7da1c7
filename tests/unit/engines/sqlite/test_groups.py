"""Groups on SQLite: beside a model, and what the conformance suite does not ask of every engine.

Engines that have the same file open stand for processes. Time is what is handed to claims and settlements.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import Any

import pytest
from hypothesis import given, settings

from telex.engines import Claimed, Delivery, Groups, Settlement
from telex.engines.contract.groups import Action
from telex.engines.sqlite import begins
from telex.errors import BadOption
from telex.message import Position
from telex.testing.conformance.rig import Rig, message
from tests.support.group_model import Run, Step, steps
from tests.support.internals import bounded

G = "billing"
FEW = {"page_messages": 25, "floor_messages": 1, "near_messages": 1}
"""With these, what is done for many messages is done for few."""


@asynccontextmanager
async def opened(place: str | Path, count: int = 1, **bounds: int) -> AsyncIterator[list[Rig]]:
    """So many engines on one file, with these of its `FileBounds`."""
    async with AsyncExitStack() as stack:
        url = f"sqlite:///{place}/telex.db?synchronous=normal"
        yield [await stack.enter_async_context(Rig(bounded(url, **bounds))) for _ in range(count)]


def groups_of(rig: Rig) -> Groups:
    assert rig.engine.groups is not None
    return rig.engine.groups


def ask(place: Path, sql: str) -> list[tuple[Any, ...]]:
    """What is in the file."""
    with closing(sqlite3.connect(place / "telex.db")) as connection:
        return connection.execute(sql).fetchall()


async def send(rig: Rig, topic: str, *contents: object, key: str | None = None, ago: float = 0.0) -> None:
    """Publish, as if it were so long ago."""
    assert rig.engine.store is not None
    moment = time() - ago
    await rig.engine.store.append([message(topic, content, key=key, published=moment) for content in contents])


async def claim(rig: Rig, pattern: str, limit: int = 100, now: float | None = None, group: str = G) -> Claimed:
    return await groups_of(rig).claim(group, pattern, limit, 30.0, "me", time() if now is None else now)


async def contents(rig: Rig, pattern: str, limit: int = 100, group: str = G) -> list[Any]:
    """What a claim gives, which is acked at once."""
    claimed = await claim(rig, pattern, limit, group=group)
    acks = [Settlement(delivery.position, delivery.token, "ack") for delivery in claimed.deliveries]
    assert all(await groups_of(rig).settle(group, pattern, acks, time()))
    return [delivery.message.content for delivery in claimed.deliveries]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["t:1", "t:*", ">"])
@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("bounds", [{}, FEW], ids=["far", "near"])
def test_a_group_is_as_the_model_says(pattern: str, engines: int, bounds: dict[str, int]) -> None:

    @settings(max_examples=20)
    @given(plan=steps(removal=engines == 1))
    def check(plan: list[Step]) -> None:
        async def go() -> None:
            with TemporaryDirectory() as place:
                async with opened(place, engines, **bounds) as rigs:
                    await Run(rigs, pattern, time()).do(plan)

        asyncio.run(go())

    check()


async def test_each_topic_of_a_pattern_has_its_own_beginning(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        await rig.retain("a:1", 1)
        await rig.retain("a:2", 2)
        for n in range(4):
            await send(rig, "a:2", f"2/{n}")
            await send(rig, "a:1", f"1/{n}")
        await rig.join(G, "a:*", "earliest")
        assert (await groups_of(rig).groups())[0].lag == 3
        await send(rig, "a:1", "1/4")
        assert (await claim(rig, "a:*", 1)).lag == 4
        assert await contents(rig, "a:*", 2) == ["2/3", "1/3"]
        assert await contents(rig, "a:*") == ["1/4"]


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("far", [False, True])
async def test_so_many_messages_back_are_counted_over_the_topics_of_a_pattern(
    tmp_path: Path, count: int, far: bool
) -> None:
    async with opened(tmp_path, near_messages=-4 * count if far else 8192) as (rig,):
        for n, topic in enumerate(("a:1", "a:1", "b:1", "a:2", "a:1", "b:1", "a:2", "b:1")):
            await send(rig, topic, n)
        await rig.join(G, "a:*", count)
        await send(rig, "a:3", "new")
        kept = [0, 1, 3, 4, 6]
        assert (await groups_of(rig).groups())[0].lag == min(count, 5) + 1
        assert await contents(rig, "a:*") == [*kept[max(0, 5 - count) :], "new"]


async def test_a_group_starts_at_a_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        for ago, topic in ((50, "a:1"), (40, "a:2"), (30, "a:1"), (45, "a:3"), (20, "a:2")):
            await send(rig, topic, ago, ago=ago)
        await rig.join(G, "a:*", timedelta(seconds=35))
        await rig.join("other", "a:*", datetime.fromtimestamp(time() - 42, UTC))
        await rig.join(G, "a:1", timedelta(seconds=35))
        assert await contents(rig, "a:*") == [30, 20]
        assert await contents(rig, "a:*", group="other") == [40, 30, 20]
        assert await contents(rig, "a:1") == [30]


async def test_a_group_starts_after_a_position(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        await send(rig, "a:1", 1, 2, 3)
        epoch = rig.log("a:1").epoch
        await rig.join(G, "a:1", Position(2, epoch))
        await rig.join("other", "a:1", Position(2, "another epoch"))
        assert await contents(rig, "a:1") == [3]
        assert await contents(rig, "a:1", group="other") == [1, 2, 3]
        with pytest.raises(BadOption):
            await rig.join(G, "a:*", Position(2, epoch))


async def test_who_makes_a_group_that_another_process_has_just_made_changes_nothing(tmp_path: Path) -> None:
    def begin() -> None:
        with closing(sqlite3.connect(tmp_path / "telex.db")) as connection, connection:
            begins.begin(connection, G, "a:1", "new", "", time(), 1)

    async with opened(tmp_path) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", "acked", "waits")
        assert await contents(rig, "a:1", 1) == ["acked"]
        await asyncio.to_thread(begin)
        assert await contents(rig, "a:1") == ["waits"]


async def test_who_finds_nothing_writes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        for pattern in ("a:1", "a:*"):
            await rig.join(G, pattern)
        await send(rig, "a:1", "x", "y", key="k")
        await send(rig, "b:1", *range(50))
        before = {pattern: await claim(rig, pattern) for pattern in ("a:1", "a:*")}
        for pattern in before:
            await claim(rig, pattern)  # the last one found something, so this one may write
        await send(rig, "b:1", "is nobody's")
        commits = ask(tmp_path, "SELECT commits FROM telex_state")
        for pattern in before:
            claimed = await claim(rig, pattern)
            assert (list(claimed.deliveries), claimed.lag) == ([], 2)
        assert ask(tmp_path, "SELECT commits FROM telex_state") == commits
        for pattern in before:
            assert await groups_of(rig).pause(G, pattern, True)
        commits = ask(tmp_path, "SELECT commits FROM telex_state")
        for pattern in before:
            assert await claim(rig, pattern, now=time() + 100) == Claimed([], None, 2)
        assert ask(tmp_path, "SELECT commits FROM telex_state") == commits


async def test_a_key_that_nobody_gets_done_does_not_hold_its_topic(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, behind_messages=3) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", *range(10), key="hot")
        await send(rig, "a:1", "other")
        assert len((await claim(rig, "a:1")).deliveries) == 1
        claimed = await claim(rig, "a:1")
        assert (list(claimed.deliveries), claimed.lag) == ([], 11)
        assert ask(tmp_path, "SELECT count(*) FROM telex_claims") == [(4,)]
        commits = ask(tmp_path, "SELECT commits FROM telex_state")
        await claim(rig, "a:1")
        assert ask(tmp_path, "SELECT commits FROM telex_state") == commits
        seen: list[Any] = []
        while len(seen) < 11:
            claimed = await claim(rig, "a:1", now=time() + 31 if not seen else None)
            for delivery in claimed.deliveries:
                seen.append(delivery.message.content)
                done = [Settlement(delivery.position, delivery.token, "ack")]
                assert await groups_of(rig).settle(G, "a:1", done, time()) == [True]
        assert [content for content in seen if content != "other"] == list(range(10))


@pytest.mark.parametrize(("others", "empty"), [(100, 3), (10, 0), (30, 1)])
async def test_a_claim_looks_at_a_bounded_number_of_messages(tmp_path: Path, others: int, empty: int) -> None:
    async with opened(tmp_path, page_messages=10, pages=3) as (rig,):
        await rig.join(G, "a:*")
        await send(rig, "b:1", *range(others))
        await send(rig, "a:1", "found")
        await send(rig, "b:1", *range(40))
        now, claims = time(), 0
        while not (claimed := await claim(rig, "a:*", now=now)).deliveries:
            assert (claimed.next_due, claimed.lag) == (now, 1), "it is to be asked again at once"
            claims += 1
        assert claims == empty
        assert claimed.deliveries[0].message.content == "found"


async def test_what_only_a_group_held_is_deleted_when_it_is_settled(
    tmp_path: Path,
) -> None:
    kept = "SELECT count(*) FROM telex_messages WHERE seq <= 5"
    async with opened(tmp_path, sweep_messages=1) as (rig,):
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
        assert await groups_of(rig).settle(G, "a:1", done, time()) == [True] * 3
        assert ask(tmp_path, kept) == [(4,)]
        assert await groups_of(rig).drop(G, "a:1", dropped.position)
        assert ask(tmp_path, kept) == [(3,)]
        assert await groups_of(rig).forget(G, "a:1")
        assert ask(tmp_path, kept) == [(0,)]


async def test_a_removed_topic_leaves_nothing_in_a_group(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        await rig.join(G, "a:*")
        await send(rig, "a:1", "first", key="k")
        await send(rig, "a:2", "second", key="k")
        await send(rig, "a:1", "dies", "waits")
        claimed = await claim(rig, "a:*", 2)
        first, dies = claimed.deliveries
        assert claimed.lag == 4
        assert await groups_of(rig).settle(G, "a:*", [Settlement(dies.position, dies.token, "reject")], time()) == [
            True
        ]
        await rig.remove("a:1")
        (info,) = await groups_of(rig).groups()
        assert (info.lag, info.leased, info.dead) == (1, 0, 0)
        assert await groups_of(rig).settle(G, "a:*", [Settlement(first.position, first.token, "ack")], time()) == [
            False
        ]
        assert await contents(rig, "a:*") == ["second"], "what was removed holds nobody up"
        await send(rig, "a:1", "anew")
        assert (await claim(rig, "a:*")).lag == 1


async def test_a_lease_that_has_ended_is_settled_while_nobody_else_has_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", 1, 2, 3, 4)
        now = time()
        deliveries = (await claim(rig, "a:1", now=now)).deliveries
        done = [
            Settlement(deliveries[0].position, deliveries[0].token, "ack"),
            Settlement(deliveries[1].position, deliveries[1].token, "extend", 60),
            Settlement(deliveries[2].position, deliveries[2].token, "reject"),
        ]
        assert await groups_of(rig).settle(G, "a:1", done, now + 40) == [True] * 3
        again = await claim(rig, "a:1", now=now + 50)
        assert [delivery.message.content for delivery in again.deliveries] == [4]
        assert await groups_of(rig).settle(G, "a:1", done[1:2], now + 120) == [True], "nobody took it since"


async def test_a_lease_that_has_ended_goes_on_only_while_its_key_is_free(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        groups, now = groups_of(rig), time()
        await rig.join(G, "a:1")
        await send(rig, "a:1", "oldest", "older", "young", key="k")

        async def settle(delivery: Delivery, action: Action, moment: float) -> bool:
            return (await groups.settle(G, "a:1", [Settlement(delivery.position, delivery.token, action, 60)], moment))[
                0
            ]

        (oldest,) = (await claim(rig, "a:1", now=now)).deliveries
        assert await settle(oldest, "reject", now)
        (older,) = (await claim(rig, "a:1", now=now)).deliveries
        assert await settle(older, "reject", now)
        (young,) = (await claim(rig, "a:1", now=now)).deliveries
        assert await groups.revive(G, "a:1", older.position, now)
        (older,) = (await claim(rig, "a:1", now=now + 40)).deliveries
        assert older.message.content == "older"
        assert not await settle(young, "extend", now + 40), "another of its key is worked on"
        assert await groups.revive(G, "a:1", oldest.position, now + 40)
        assert await settle(young, "ack", now + 40)
        assert list((await claim(rig, "a:1", now=now + 40)).deliveries) == []
        assert await settle(older, "ack", now + 40)
        (oldest,) = (await claim(rig, "a:1", now=now + 40)).deliveries
        assert oldest.message.content == "oldest"


async def test_a_forgotten_group_gives_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        await rig.join(G, "a:1")
        await send(rig, "a:1", 1, 2)
        (delivery,) = (await claim(rig, "a:1", 1)).deliveries
        assert await groups_of(rig).forget(G, "a:1")
        for _ in range(2):
            assert await claim(rig, "a:1") == Claimed([], None, 0)
        done = [Settlement(delivery.position, delivery.token, "ack")]
        assert await groups_of(rig).settle(G, "a:1", done, time()) == [False]
        assert ask(tmp_path, "SELECT count(*) FROM telex_claims") == [(0,)]


async def test_members_are_told_when_there_may_be_something(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        groups = groups_of(rig)
        await rig.join(G, "a:*")
        await send(rig, "a:1", "x", "y", key="k")
        actions: tuple[Action, ...] = ("nack", "reject", "ack")
        for action in actions:
            (delivery,) = (await claim(rig, "a:*")).deliveries
            rig.stirs.clear()
            assert await rig.settle(G, "a:*", delivery, action, time())
            assert rig.stirs == (["a:*"] if action != "ack" else []), "the last one leaves nothing"
        rig.stirs.clear()
        await groups.pause(G, "a:*", True)
        assert rig.stirs == []
        await groups.pause(G, "a:*", False)
        assert rig.stirs == ["a:*"]
        (letter,) = await groups.dead()
        rig.stirs.clear()
        assert await groups.revive(G, "a:*", letter.position, time())
        assert rig.stirs == ["a:*"]


async def test_names_that_mean_something_to_sqlite_are_names(tmp_path: Path) -> None:
    async with opened(tmp_path) as (rig,):
        await rig.join(G, "a[b?]:*")
        for topic in ("a[b?]:1", "ab:1", "a[bc]:1", "a[b?]:1:2"):
            await send(rig, topic, topic)
        assert (await groups_of(rig).groups())[0].lag == 1
        assert await contents(rig, "a[b?]:*") == ["a[b?]:1"]
