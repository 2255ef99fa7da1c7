"""Consumer groups: rules 6 to 10 of `telex.engines.contract.groups`, and the statistics of groups."""

from __future__ import annotations

from telex.engines.contract.groups import Action
from telex.testing.conformance.groups import G, T, contents, ready
from telex.testing.conformance.suite import Suite, promise, settle_dead


class GroupOrderTests(Suite):
    """The order of deliveries, the messages that are kept, and pauses."""

    @promise("groups", "key_order")
    async def test_one_message_of_a_key_is_leased_at_a_time(self) -> None:
        """Rule 6: of the messages with one key only the first is leased, and the next one after its ack."""
        async with self.rig() as rig:
            now = await ready(rig, "a1", "a2", "a3", key="a")
            await rig.send(T, "b1", "b2", key="b")
            await rig.send(T, "n1", "n2")
            first = await rig.fetch(G, T, now)
            assert contents(first) == ["a1", "b1", "n1", "n2"]
            assert await rig.fetch(G, T, now) == []
            assert await rig.settle(G, T, first[0], "ack", now)
            (second,) = await rig.fetch(G, T, now)
            assert second.message.content == "a2"
            assert await rig.settle(G, T, second, "reject", now)
            assert contents(await rig.fetch(G, T, now)) == ["a3"], "a dead letter holds nobody up"

    @promise("groups", "key_order")
    async def test_a_key_waits_for_the_retry_of_its_first_message(self) -> None:
        """Rule 6: messages of a key wait while an earlier one waits for its retry or is leased."""
        async with self.rig() as rig:
            now = await ready(rig, "a1", "a2", key="a")
            (a1,) = await rig.fetch(G, T, now, lease=10)
            assert await rig.settle(G, T, a1, "nack", now, seconds=20)
            assert await rig.fetch(G, T, now + 19) == []
            (a1,) = await rig.fetch(G, T, now + 21, lease=10)
            assert (a1.message.content, a1.attempt) == ("a1", 2)
            assert contents(await rig.fetch(G, T, now + 32, lease=10)) == ["a1"], "its lease has ended, and it goes on"

    @promise("groups", "key_order")
    async def test_messages_of_a_key_keep_the_order_of_publishing(self) -> None:
        """Rule 6: each key is handled in order, with any size of claims and any number of retries."""
        async with self.rig() as rig:
            now = await ready(rig)
            keys, each = self.size(3, 10), self.size(4, 50)
            for number in range(each):
                for key in range(keys):
                    await rig.send(T, [key, number], key=str(key))
            done: list[list[int]] = []
            turn = 0
            while claimed := await rig.fetch(G, T, now, limit=2):
                assert len({delivery.message.key for delivery in claimed}) == len(claimed)
                for delivery in claimed:
                    turn += 1
                    if turn % 3:
                        done.append(delivery.message.content)
                    assert await rig.settle(G, T, delivery, "ack" if turn % 3 else "nack", now)
            for key in range(keys):
                assert [number for k, number in done if k == key] == list(range(each))

    @promise("groups", "key_order")
    async def test_key_order_spans_the_topics_of_a_pattern(self) -> None:
        """Rule 6: in a group on a pattern, the order of a key includes all topics."""
        async with self.rig() as rig:
            await rig.join(G, "orders:*")
            await rig.send("orders:1", "first", key="k")
            await rig.send("orders:2", "second", key="k")
            now = rig.clock.now()
            (first,) = await rig.fetch(G, "orders:*", now)
            assert first.message.content == "first"
            assert await rig.settle(G, "orders:*", first, "ack", now)
            assert contents(await rig.fetch(G, "orders:*", now)) == ["second"]

    @promise("groups", "key_order")
    async def test_a_revived_dead_letter_is_not_leased_beside_its_key(self) -> None:
        """Rule 6: a revived dead letter is not leased together with another message of its key."""
        async with self.rig() as rig:
            now = await ready(rig, "a1", "a2", key="a")
            (a1,) = await rig.fetch(G, T, now)
            assert await rig.settle(G, T, a1, "reject", now)
            (a2,) = await rig.fetch(G, T, now)
            assert a2.message.content == "a2"
            assert await settle_dead(rig.groups, G, T, a1.position, "retry")
            assert await rig.fetch(G, T, now) == []
            assert await rig.settle(G, T, a2, "ack", now)
            assert contents(await rig.fetch(G, T, now)) == ["a1"]

    @promise("groups", "key_order")
    async def test_a_revived_dead_letter_is_delivered_after_a_leased_message_of_its_key(self) -> None:
        """Rule 6: a dead letter that is revived while a later message of its key is leased is delivered after it."""
        async with self.rig() as rig:
            meanwhile: tuple[Action | None, ...] = ("nack", "reject", None)
            for number, later in enumerate(meanwhile):
                topic = f"orders:{number}"
                await rig.join(G, topic)
                await rig.send(topic, "a1", "a2", key="a")
                now = rig.clock.now()
                (a1,) = await rig.fetch(G, topic, now)
                assert await rig.settle(G, topic, a1, "reject", now)
                (a2,) = await rig.fetch(G, topic, now, lease=10)
                assert await settle_dead(rig.groups, G, topic, a1.position, "retry")
                assert await rig.fetch(G, topic, now) == []
                if later is not None:
                    assert await rig.settle(G, topic, a2, later, now)
                again = await rig.fetch(G, topic, now + 11)
                assert contents(again) == ["a1"], f"after the other's {later or 'lease'}"
                assert await rig.settle(G, topic, again[0], "ack", now + 11)
                assert contents(await rig.fetch(G, topic, now + 11)) == ([] if later == "reject" else ["a2"])

    @promise("groups")
    async def test_due_redeliveries_come_first(self) -> None:
        """Rule 7: redeliveries that are due come first, then new messages in the order of publishing."""
        async with self.rig() as rig:
            now = await ready(rig, *range(8))
            first = await rig.fetch(G, T, now, limit=4)
            assert contents(first) == [0, 1, 2, 3]
            assert await rig.settle(G, T, first[2], "nack", now)
            assert contents(await rig.fetch(G, T, now, limit=3)) == [2, 4, 5]
            assert contents(await rig.fetch(G, T, now)) == [6, 7]

    @promise("groups", "ordered")
    async def test_first_deliveries_are_in_the_order_of_publishing(self) -> None:
        """Ordered: without keys, first deliveries are in the order of publishing, with any size of claims."""
        async with self.rig() as rig:
            count = self.size(30, 1000)
            now = await ready(rig, *range(count))
            seen, limit = [], 1
            while claimed := await rig.fetch(G, T, now, limit=limit):
                assert len(claimed) <= limit, "a claim leases at most its limit"
                seen += contents(claimed)
                limit = limit % 5 + 1
            assert seen == list(range(count))

    @promise("groups", "backlog_kept")
    async def test_retention_keeps_the_backlog_of_a_group(self) -> None:
        """Rule 8: unclaimed, leased and dead messages are kept for the group, beyond the retention of the topic."""
        async with self.rig() as rig:
            now = await ready(rig)
            await rig.retain(T, 2)
            count = 1500  # more than a log in memory keeps beyond its retention
            await rig.send(T, "dies", "leased")
            dies, _ = await rig.fetch(G, T, now, lease=10)
            assert await rig.settle(G, T, dies, "reject", now)
            for start in range(0, count, 500):
                await rig.send(T, *range(start, start + 500))
            (letter,) = await rig.groups.dead(G)
            assert letter.message.content == "dies"
            claimed = await rig.fetch(G, T, now + 11, limit=count + 10)
            assert contents(claimed) == ["leased", *range(count)]

    @promise("groups")
    async def test_a_paused_group_claims_nothing(self) -> None:
        """Rule 9: a paused group claims nothing, and its leased deliveries can be settled. `resume` continues it."""
        async with self.rig() as rig:
            groups, now = rig.groups, await ready(rig, "a", "b")
            (a,) = await rig.fetch(G, T, now, limit=1)
            assert await groups.change(G, T, "pause") is True
            assert await rig.fetch(G, T, now + 60) == []
            assert [info.paused for info in await groups.groups()] == [True]
            assert await rig.settle(G, T, a, "ack", now) is True
            await rig.send(T, "c")
            assert await rig.fetch(G, T, now) == []
            assert await groups.change(G, T, "resume") is True
            assert contents(await rig.fetch(G, T, now)) == ["b", "c"]
            assert await groups.change("nobody", T, "pause") is False

    @promise("groups")
    async def test_a_resting_group_continues_at_its_position(self) -> None:
        """Rule 10: deliveries are kept while a group rests. The next claim continues with the messages that are still
        there."""
        async with self.rig() as rig:
            groups, now = rig.groups, await ready(rig, "a", "b", "c")
            a, b = await rig.fetch(G, T, now, limit=2)
            assert await rig.settle(G, T, a, "ack", now) is True
            assert await groups.change(G, T, "rest") is True
            assert await rig.settle(G, T, b, "nack", now) is True
            await rig.join(G, T, "earliest")
            again = await rig.fetch(G, T, now + 0.01)
            assert contents(again) == ["b", "c"]
            assert [delivery.attempt for delivery in again] == [2, 1]
            await rig.send(T, "d")
            assert contents(await rig.fetch(G, T, now + 0.01)) == ["d"]
            assert await groups.change("nobody", T, "rest") is False

    @promise("groups")
    async def test_groups_returns_the_counts_of_each_group(self) -> None:
        """`groups` is sorted by name and pattern, with the lag and the leased, delayed and dead messages of each."""
        async with self.rig() as rig:
            now = await ready(rig, *range(6))
            await rig.send(T, "k1", "k2", key="k")
            await rig.join("another", "orders:*", "new")
            deliveries = await rig.fetch(G, T, now)
            assert len(deliveries) == 7
            what: tuple[Action, ...] = ("ack", "reject", "nack", "nack")
            for delivery, action in zip(deliveries, what, strict=False):
                assert await rig.settle(G, T, delivery, action, now, seconds=500)
            infos = await rig.groups.groups()
            assert [(info.group, info.pattern) for info in infos] == [("another", "orders:*"), (G, T)]
            assert (infos[0].lag, infos[0].leased, infos[0].dead) == (0, 0, 0)
            info = infos[1]
            assert (info.lag, info.leased, info.delayed, info.dead) == (6, 3, 3, 1)

    @promise("groups")
    async def test_lag_counts_unsettled_messages(self) -> None:
        """A claim returns the lag: the published messages that are not settled, including leased ones."""
        async with self.rig() as rig:
            now = await ready(rig, *range(5))
            claimed = await rig.groups.fetch(G, T, 2, 30, "m", 0.0)
            assert claimed.lag == 5
            assert await rig.settle(G, T, claimed.deliveries[0], "ack", now)
            assert (await rig.groups.fetch(G, T, 1, 30, "m", 0.0)).lag == 4

    @promise("groups")
    async def test_a_forgotten_group_begins_at_its_start(self) -> None:
        """`forget` removes a group with its messages, and returns whether it existed. Joined again, it begins at its
        start."""
        async with self.rig() as rig:
            now = await ready(rig, "a", "b")
            a, b = await rig.fetch(G, T, now)
            assert await rig.settle(G, T, a, "reject", now)
            assert await rig.groups.change(G, T, "forget") is True
            assert await rig.groups.change(G, T, "forget") is False
            assert await rig.groups.groups() == []
            assert await rig.groups.dead() == []
            await rig.join(G, T, "earliest")
            assert await rig.settle(G, T, b, "ack", now) is False, "a delivery of the forgotten group settles nothing"
            again = await rig.fetch(G, T, now)
            assert contents(again) == ["a", "b"]
            assert [delivery.attempt for delivery in again] == [1, 1]
