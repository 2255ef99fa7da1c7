"""Moving consumer groups: `Groups.seek`, sentence by sentence."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from telex.errors import BadOption
from telex.log.start import Start
from telex.message import Position
from telex.testing.conformance.groups import contents
from telex.testing.conformance.suite import Suite, promise, settle_dead

G = "billing"
T = "orders:1"


class SeekTests(Suite):
    """A group continues at another start."""

    @promise("groups")
    async def test_seek_moves_a_group_to_another_start(self) -> None:
        """Rule 11: after `seek` a group gets the messages from the new start on, and the lag counts them."""
        async with self.rig() as rig:
            await rig.join(G, T)
            sent = await rig.send(T, "a", "b", "c", "d")
            for delivery in await rig.fetch(G, T):
                await rig.settle(G, T, delivery, "ack")
            groups, epoch = rig.groups, rig.log(T).epoch
            starts: list[tuple[Start, str]] = [("earliest", "abcd"), (2, "cd"), (Position(sent[0].seq, epoch), "bcd")]
            starts += [("new", ""), (timedelta(hours=1), "abcd"), (sent[0].timestamp, "abcd")]
            for start, expected in starts:
                assert await groups.seek(G, T, start) is True
                assert await rig.lag(G, T) == len(expected), start
                for delivery in (found := await rig.fetch(G, T)):
                    assert delivery.attempt == 1
                    assert await rig.settle(G, T, delivery, "ack")
                assert contents(found) == list(expected), start
                assert (await rig.fetch(G, T), await rig.lag(G, T)) == ([], 0)
            await rig.send(T, "e")
            assert contents(await rig.fetch(G, T)) == ["e"]
            assert await groups.seek("other", T, "new") is False

    @promise("groups", "fenced_settle")
    async def test_seek_keeps_leased_messages_and_dead_letters(self) -> None:
        """Rule 11: a message that is leased is settled by its token, and neither it nor a dead letter is leased a
        second time. Messages that wait are discarded."""
        async with self.rig() as rig:
            await rig.join(G, T)
            await rig.send(T, "leased", "dead", "waits", "acked")
            now = rig.clock.now()
            leased, dead, waits, acked = await rig.fetch(G, T, now)
            for delivery, action in ((dead, "reject"), (waits, "nack"), (acked, "ack")):
                assert await rig.settle(G, T, delivery, action, now, seconds=60)  # type: ignore[arg-type]
            groups = rig.groups
            assert await groups.seek(G, T, "new") is True
            assert (await rig.fetch(G, T, now), await rig.lag(G, T)) == ([], 1)
            assert await groups.seek(G, T, "earliest") is True
            assert await rig.lag(G, T) == 3
            again = await rig.fetch(G, T, now)
            assert contents(again) == ["waits", "acked"]
            assert [delivery.attempt for delivery in again] == [1, 1]
            assert await rig.settle(G, T, leased, "nack", now), "it has lost its token"
            (back,) = await rig.fetch(G, T, now)
            assert (back.message.content, back.attempt) == ("leased", 2)
            for delivery in (back, *again):
                assert await rig.settle(G, T, delivery, "ack", now)
            assert (await rig.fetch(G, T, now), await rig.lag(G, T)) == ([], 0)
            (letter,) = await groups.dead(G)
            assert letter.message.content == "dead"
            assert await settle_dead(groups, G, T, letter.position, "retry")
            assert contents(await rig.fetch(G, T, now)) == ["dead"]

    @promise("groups", "key_order")
    async def test_seek_keeps_the_order_of_keys(self) -> None:
        """Rules 6 and 11: after `seek`, messages of a key that is leased wait for it, and come in order."""
        async with self.rig() as rig:
            await rig.join(G, T)
            await rig.send(T, 1, 2, 3, key="k")
            now = rig.clock.now()
            (first,) = await rig.fetch(G, T, now)
            assert await rig.settle(G, T, first, "ack", now)
            (second,) = await rig.fetch(G, T, now)
            assert await rig.groups.seek(G, T, "earliest")
            assert (await rig.fetch(G, T, now), await rig.lag(G, T)) == ([], 3)
            assert await rig.settle(G, T, second, "ack", now)
            for expected in (1, 3):
                (delivery,) = await rig.fetch(G, T, now)
                assert delivery.message.content == expected
                assert await rig.settle(G, T, delivery, "ack", now)
            assert (await rig.fetch(G, T, now), await rig.lag(G, T)) == ([], 0)

    @promise("groups")
    async def test_seek_moves_a_group_on_a_pattern(self) -> None:
        """Rule 11: a group on a pattern moves in all its topics. A position is refused. A pause stays."""
        pattern = "orders:*"
        async with self.rig() as rig:
            await rig.join(G, pattern)
            for n in range(6):
                await rig.send(f"orders:{n % 2}", n)
            for delivery in await rig.fetch(G, pattern):
                await rig.settle(G, pattern, delivery, "ack")
            groups = rig.groups
            try:
                await groups.seek(G, pattern, Position(1, "x"))
            except BadOption:
                pass
            else:
                raise AssertionError("a position was taken for a pattern")
            await groups.change(G, pattern, "pause")
            assert await groups.seek(G, pattern, 3) is True
            assert (await rig.fetch(G, pattern), await rig.lag(G, pattern)) == ([], 3)
            await groups.change(G, pattern, "resume")
            assert contents(await rig.fetch(G, pattern, limit=2)) == [3, 4]
            await rig.send("orders:0", 6)
            assert contents(await rig.fetch(G, pattern)) == [5, 6]

    @promise("groups", "shared")
    async def test_a_fetch_of_another_engine_gets_the_messages_after_a_seek(self) -> None:
        """Rule 11: a fetch that waits in another process returns with messages after the new start."""
        async with self.rig() as one, self.rig() as two:
            await one.join(G, T)
            await one.send(T, "a")
            for delivery in await two.fetch(G, T):
                await two.settle(G, T, delivery, "ack")
            fetching = asyncio.ensure_future(two.fetch(G, T, wait=20.0))
            await asyncio.sleep(0.05)  # it waits by then, or finds the message at once
            assert await one.groups.seek(G, T, "earliest")
            assert contents(await fetching) == ["a"]
