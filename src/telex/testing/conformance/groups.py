"""Consumer groups: the claims, leases and settlements of `telex.engines.contract.groups`."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any

from telex.engines.contract import Delivery, Settlement
from telex.engines.contract.groups import Action
from telex.testing.conformance.rig import Rig
from telex.testing.conformance.suite import Suite, promise, settle_dead

G = "billing"
T = "orders:1"
ACTIONS: tuple[Action, ...] = ("ack", "nack", "reject", "release", "extend")


class RolledBack(Exception):
    """The error that rolls a transaction back."""


def contents(deliveries: list[Delivery]) -> list[Any]:
    """Return the contents of the claimed deliveries."""
    return [delivery.message.content for delivery in deliveries]


async def ready(rig: Rig, *published: object, key: str | None = None) -> float:
    """Make a group with these messages to claim, and return the present time of the test."""
    await rig.join(G, T)
    if published:
        await rig.send(T, *published, key=key)
    return rig.clock.now()


class GroupTests(Suite):
    """Claims, leases and settlements."""

    @promise("groups")
    async def test_the_first_join_sets_the_start_of_a_group(self) -> None:
        """Rule 1: the first `join` sets the start of a group: new, the earliest, or a number back."""
        async with self.rig() as rig:
            rig.log(T)
            await rig.send(T, "a", "b", "c")
            for group, start in (("all", "earliest"), ("new", "new"), ("two", 2)):
                await rig.join(group, T, start)
            await rig.send(T, "d")
            now = rig.clock.now()
            assert contents(await rig.fetch("all", T, now)) == ["a", "b", "c", "d"]
            assert contents(await rig.fetch("new", T, now)) == ["d"]
            assert contents(await rig.fetch("two", T, now)) == ["b", "c", "d"]

    @promise("groups")
    async def test_joining_a_group_does_not_change_its_position(self) -> None:
        """Rule 1: joining an existing group does not change its position."""
        async with self.rig() as rig:
            now = await ready(rig, "a", "b")
            for delivery in await rig.fetch(G, T, now, limit=1):
                await rig.settle(G, T, delivery, "ack", now)
            await rig.join(G, T, "new")
            await rig.join(G, T, "earliest")
            await rig.send(T, "c")
            assert contents(await rig.fetch(G, T, now)) == ["b", "c"]

    @promise("groups")
    async def test_each_group_gets_every_message(self) -> None:
        """Rule 1: name and pattern identify a group: another name or another pattern gets all messages, too."""
        pattern = "orders:*"
        async with self.rig() as rig:
            await rig.join("one", T)
            await rig.join("two", T)
            await rig.join("one", pattern)
            count = self.size(5, 50)
            await rig.send(T, *range(count))
            now = rig.clock.now()
            for group, source in (("one", T), ("two", T), ("one", pattern)):
                assert contents(await rig.fetch(group, source, now)) == list(range(count)), (group, source)

    @promise("groups")
    async def test_a_group_on_a_pattern_gets_messages_of_later_topics(self) -> None:
        """Rule 1: a group on a pattern gets the messages of all topics that match, in the order of publishing."""
        pattern = "orders:*"
        async with self.rig() as rig:
            await rig.send(T, 1)
            await rig.join(G, pattern)
            for topic, content in (("orders:2", 2), ("bills:1", 99), (T, 3), ("orders:2", 4), ("orders:2:x", 98)):
                await rig.send(topic, content)
            claimed = await rig.fetch(G, pattern)
            assert contents(claimed) == [1, 2, 3, 4]
            assert [delivery.message.topic for delivery in claimed] == [T, "orders:2", T, "orders:2"]

    @promise("groups")
    async def test_a_message_is_leased_to_one_member(self) -> None:
        """Rule 2: no other member gets a message until it is settled or its lease ends."""
        async with self.rig() as rig:
            now = await ready(rig, *range(6))
            mine = await rig.fetch(G, T, now, limit=2, owner="me")
            yours = await rig.fetch(G, T, now, limit=3, owner="you")
            assert (contents(mine), contents(yours)) == ([0, 1], [2, 3, 4])
            assert contents(await rig.fetch(G, T, now + 28)) == [5]
            assert contents(await rig.fetch(G, T, now + 28)) == []

    @promise("groups")
    async def test_concurrent_claims_share_the_messages(self) -> None:
        """Rule 2: of concurrent claims exactly one gets each message."""
        members = self.size(8, 50)
        async with self.rig() as rig:
            now = await ready(rig, *range(5 * members))
            claimed = await asyncio.gather(*(rig.fetch(G, T, now, 5, owner=str(n)) for n in range(members)))
            assert sorted(c for deliveries in claimed for c in contents(deliveries)) == list(range(5 * members))

    @promise("groups")
    async def test_a_delivery_has_its_message_position_and_attempt(self) -> None:
        """A delivery has the published message, its position and attempt 1."""
        async with self.rig() as rig:
            await rig.join(G, T)
            sent = (await rig.send(T, {"a": [1, "ü"]}, id="id-1", key="k"))[0]
            (delivery,) = await rig.fetch(G, T)
            assert delivery.message == sent
            assert (delivery.message.key, delivery.attempt) == ("k", 1)

    @promise("groups", "fenced_settle")
    async def test_only_the_last_token_settles(self) -> None:
        """Rule 3: every claim of a message has a larger token, and an older token settles nothing."""
        async with self.rig() as rig:
            now = await ready(rig, "a")
            (old,) = await rig.fetch(G, T, now, lease=5)
            (new,) = await rig.fetch(G, T, now + 6, lease=5)
            assert new.token > old.token
            for action in ACTIONS:
                assert await rig.settle(G, T, old, action, now + 7) is False, f"a stale {action} won"
            assert await rig.settle(G, T, new, "ack", now + 7) is True
            assert await rig.fetch(G, T, now + 60) == []

    @promise("groups", "transactions", "fenced_settle")
    async def test_a_transaction_settles_a_delivery(self) -> None:
        """A transaction settles a delivery when it commits, not when it rolls back, and by the last token alone."""
        async with self.rig() as rig:
            now = await ready(rig, "a", "b")
            a, b = await rig.fetch(G, T, now, lease=5)
            acks = [Settlement(delivery.position, delivery.token, "ack") for delivery in (a, b)]
            try:
                async with rig.transaction() as transaction:
                    assert await transaction.settle(G, T, acks[0]) is True
                    raise RolledBack
            except RolledBack:
                pass
            assert await rig.settle(G, T, a, "extend", now, seconds=5) is True, "it was settled, and rolled back"
            async with rig.transaction() as transaction:
                assert await transaction.settle(G, T, acks[0]) is True
            assert await rig.settle(G, T, a, "extend", now, seconds=5) is False, "it was not settled"
            (new,) = await rig.fetch(G, T, now + 6, lease=5)
            assert new.message.content == "b"
            async with rig.transaction() as transaction:
                assert await transaction.settle(G, T, acks[1]) is False, "a stale token won"

    @promise("groups")
    async def test_the_first_settlement_wins(self) -> None:
        """Rule 3: the second settlement does nothing, and returns false."""
        async with self.rig() as rig:
            now = await ready(rig, "a", "b", "c", "d")
            for delivery, first in zip(await rig.fetch(G, T, now), ACTIONS[:4], strict=True):
                assert await rig.settle(G, T, delivery, first, now, seconds=50) is True
                for second in ACTIONS:
                    assert await rig.settle(G, T, delivery, second, now) is False, f"{second} after {first} won"
            assert [letter.message.content for letter in await rig.groups.dead()] == ["c"]
            assert contents(await rig.fetch(G, T, now + 60)) == ["b", "d"]

    @promise("groups")
    async def test_settlements_are_answered_one_by_one(self) -> None:
        """`settle` returns for each settlement, in the given order, whether it won; false for an unknown delivery."""
        async with self.rig() as rig:
            now = await ready(rig, "a", "b")
            a, b = await rig.fetch(G, T, now)
            batch = [
                Settlement(b.position, b.token, "ack"),
                Settlement(a.position, a.token + 1000, "ack"),
                Settlement(b.position, b.token, "ack"),
                Settlement(99_999, 1, "ack"),
                Settlement(a.position, a.token, "ack"),
            ]
            won = await rig.groups.settle(G, T, batch)
            assert list(won) == [True, False, False, False, True]
            assert await rig.groups.settle(G, T, []) in ([], ())

    @promise("groups")
    async def test_an_acked_message_is_never_delivered_again(self) -> None:
        """Rule 4: an acked message is never delivered again."""
        async with self.rig() as rig:
            now = await ready(rig, *range(5))
            for delivery in await rig.fetch(G, T, now):
                assert await rig.settle(G, T, delivery, "ack", now)
            await rig.join(G, T)
            assert await rig.fetch(G, T, now + 60) == []
            assert await rig.lag(G, T) == 0

    @promise("groups")
    async def test_nack_waits_for_its_delay(self) -> None:
        """Rule 4: a nacked message is delivered after its delay, with the next attempt."""
        async with self.rig() as rig:
            now = await ready(rig, "a")
            (delivery,) = await rig.fetch(G, T, now)
            assert await rig.settle(G, T, delivery, "nack", now, seconds=20)
            assert await rig.fetch(G, T, now + 18) == []
            (again,) = await rig.fetch(G, T, now + 21)
            assert (again.message.content, again.attempt) == ("a", 2)

    @promise("groups")
    async def test_a_released_lease_is_not_an_attempt(self) -> None:
        """Rule 4: a released message is delivered after its delay, with the same attempt and a larger token."""
        async with self.rig() as rig:
            now = await ready(rig, "a", "b")
            (first,) = await rig.fetch(G, T, now, limit=1)
            assert await rig.settle(G, T, first, "release", now, seconds=20)
            assert not await rig.settle(G, T, first, "ack", now), "it was settled"
            (b,) = await rig.fetch(G, T, now)
            assert await rig.settle(G, T, b, "nack", now, seconds=20)
            assert await rig.fetch(G, T, now + 18) == []
            again = await rig.fetch(G, T, now + 21)
            assert [(each.message.content, each.attempt) for each in again] == [("b", 2), ("a", 1)]
            assert again[1].token > first.token
            steps: tuple[tuple[Action, int], ...] = (("release", 1), ("nack", 2), ("release", 2))
            for action, attempt in steps:
                assert await rig.settle(G, T, again[-1], action, now + 21)
                again = await rig.fetch(G, T, now + 21)
                assert [each.attempt for each in again] == [attempt]

    @promise("groups")
    async def test_every_message_is_handled_once_after_many_nacks(self) -> None:
        """Rule 4: messages that are nacked many times are each handled once in the end."""
        async with self.rig() as rig:
            count = self.size(10, 100)
            now = await ready(rig, *range(count))
            for _ in range(self.size(3, 100)):
                for delivery in await rig.fetch(G, T, now, limit=3):
                    assert await rig.settle(G, T, delivery, "nack", now)
            done = []
            while claimed := await rig.fetch(G, T, now, limit=7):
                done += contents(claimed)
                for delivery in claimed:
                    assert await rig.settle(G, T, delivery, "ack", now)
            assert sorted(done) == list(range(count))

    @promise("groups")
    async def test_a_rejected_message_becomes_a_dead_letter(self) -> None:
        """Rule 4: a rejected message is dead, with its reason and attempts. It is not in the lag and never claimed."""
        async with self.rig() as rig:
            now, began = await ready(rig, "a", "b"), time()
            a, _ = await rig.fetch(G, T, now)
            await rig.settle(G, T, a, "nack", now)
            (a,) = await rig.fetch(G, T, now)
            assert await rig.settle(G, T, a, "reject", now, reason="no such customer")
            (letter,) = await rig.groups.dead(G)
            assert (letter.group, letter.pattern, letter.position) == (G, T, a.position)
            assert (letter.message.content, letter.attempts, letter.reason) == ("a", 2, "no such customer")
            assert began - 1 <= letter.died <= time() + 1, "the engine's clock and that of this machine differ a little"
            assert (contents(await rig.fetch(G, T, now + 60)), await rig.lag(G, T)) == (["b"], 1)

    @promise("groups")
    async def test_a_dead_letter_is_revived_or_dropped(self) -> None:
        """`revive` delivers a dead letter again, with attempt 1; `drop` deletes it. Each returns whether it existed."""
        async with self.rig() as rig:
            groups, now = rig.groups, await ready(rig, "a", "b")
            a, b = await rig.fetch(G, T, now)
            for delivery in (a, b):
                assert await rig.settle(G, T, delivery, "reject", now)
            assert await settle_dead(groups, G, T, a.position, "retry") is True
            assert await settle_dead(groups, G, T, a.position, "retry") is False
            assert await settle_dead(groups, G, T, a.position, "drop") is False, "it is not dead any more"
            assert await settle_dead(groups, G, T, b.position, "drop") is True
            assert await settle_dead(groups, G, T, b.position, "drop") is False
            assert await groups.dead() == []
            (again,) = await rig.fetch(G, T, now)
            assert (again.message.content, again.attempt) == ("a", 1)
            assert again.token > a.token
            assert await rig.settle(G, T, again, "ack", now)

    @promise("groups")
    async def test_dead_returns_dead_letters_oldest_first(self) -> None:
        """`dead` returns the dead letters of one group or of all, the oldest first, up to a limit."""
        async with self.rig() as rig:
            await rig.join("other", T)
            now = await ready(rig, "a", "b", "c")
            deliveries = await rig.fetch(G, T, now)
            for delivery in (deliveries[1], deliveries[2], deliveries[0]):
                await rig.settle(G, T, delivery, "reject")
                await asyncio.sleep(0.002)  # by the clock of the day
            (other, *_) = await rig.fetch("other", T, now)
            await rig.settle("other", T, other, "reject", now)
            dead = rig.groups.dead
            assert [letter.message.content for letter in await dead(G)] == ["b", "c", "a"]
            assert [letter.message.content for letter in await dead(G, 2)] == ["b", "c"]
            assert [letter.group for letter in await dead()] == [G, G, G, "other"]
            assert await dead("nobody") == []

    @promise("groups")
    async def test_a_lease_is_renewed(self) -> None:
        """Rule 4: `extend` renews the lease from now, and its token stays the last."""
        async with self.rig() as rig:
            now = await ready(rig, "a")
            (delivery,) = await rig.fetch(G, T, now, lease=10)
            assert await rig.settle(G, T, delivery, "extend", now + 9, seconds=10)
            assert await rig.fetch(G, T, now + 18) == []
            assert await rig.settle(G, T, delivery, "extend", now + 18, seconds=10)
            assert await rig.fetch(G, T, now + 27) == []
            assert await rig.settle(G, T, delivery, "ack", now + 27)
            assert await rig.fetch(G, T, now + 60) == []

    @promise("groups")
    async def test_a_message_is_delivered_again_after_its_lease(self) -> None:
        """Rule 5: after its lease a message is delivered again, as the next attempt."""
        async with self.rig() as rig:
            now = await ready(rig, "a")
            await rig.fetch(G, T, now, lease=10, owner="dies")
            assert (await rig.fetch(G, T, now + 5), await rig.lag(G, T)) == ([], 1)
            for attempt in (2, 3):
                (again,) = await rig.fetch(G, T, now + 10.5 * (attempt - 1), lease=10)
                assert (again.message.content, again.attempt) == ("a", attempt)
