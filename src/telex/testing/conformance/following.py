"""Interest: an engine delivers the messages of topics and patterns that are followed, and no others."""

from __future__ import annotations

from telex.testing.conformance.suite import Suite, promise

T = "orders:1"


class FollowingTests(Suite):
    """`telex.engines.Store.follow`, `unfollow`, and the events `deliver` and `gap`."""

    @promise("store")
    async def test_only_followed_topics_are_delivered(self) -> None:
        """The events get the messages of followed topics and patterns, and no others."""
        async with self.rig(follow=("a:1", "b:*")) as rig:
            for topic in ("a:1", "a:2", "b:1", "c", "b:2", "a:1"):
                await rig.send(topic, topic)
            await rig.until(lambda: len(rig.contents("a:1")) == 2, "the messages")
            assert sorted(rig.taken) == ["a:1", "b:1", "b:2"]

    @promise("store", "shared")
    async def test_only_followed_topics_of_other_engines_are_delivered(self) -> None:
        """Shared: the same holds for the messages of other engines."""
        async with self.rig(follow=("a:1", "b:*")) as one, self.rig() as two:
            for topic in ("a:2", "b:1", "c", "a:1"):
                await two.send(topic, topic)
            await one.until(lambda: one.contents("a:1"), "the message")
            assert sorted(one.taken) == ["a:1", "b:1"]

    @promise("store")
    async def test_a_follow_begins_with_the_next_message(self) -> None:
        """A topic is delivered from the number on that a new local log has when it is followed."""
        async with self.rig(follow=()) as rig:
            (before,) = await rig.send(T, "before")
            log = rig.log(T)
            rig.follow(T)
            (sent,) = await rig.send(T, "after")
            await rig.until(lambda: rig.contents(T), "the message")
            assert rig.contents(T) == ["after"]
            assert before.seq < log.end <= sent.seq

    @promise("store")
    async def test_unfollow_ends_the_delivery(self) -> None:
        """Nothing is delivered after `unfollow`, also for patterns, until the name is followed again."""
        for name in (T, "orders:*"):
            async with self.rig(follow=(name,)) as rig:
                await rig.send(T, "one")
                rig.unfollow(name)
                await rig.send(T, "two")
                rig.follow(name)
                await rig.send(T, "three")
                await rig.until(lambda rig=rig: "three" in rig.contents(T), "the message")  # type: ignore[misc]
                assert rig.contents(T) == ["one", "three"]
                assert not rig.gaps, "messages of a topic that is not followed are no gap"

    @promise("store", "shared")
    async def test_a_single_message_of_another_engine_is_delivered(self) -> None:
        """Shared: a message is delivered in time, also when no other message comes after it."""
        async with self.rig(follow=(T,)) as one, self.rig(follow=()) as two:
            for number in range(self.size(2, 20)):
                await two.send(T, number)
                await one.until(lambda n=number: n in one.contents(T), "the message")  # type: ignore[misc]

    @promise("store", "shared", "counted_gaps")
    async def test_a_message_that_is_not_delivered_is_in_a_gap(self) -> None:
        """Each message of a followed topic is delivered, or counted in a gap: also when retention takes it early."""
        async with self.rig(follow=(T,)) as one, self.rig(follow=()) as two:
            await two.retain(T, 1)
            count = self.size(50, 2000)
            await two.send(T, *range(count))
            await one.until(lambda: count - 1 in one.contents(T), "the last message")
            missing = [number or 0 for topic, number, _ in one.gaps if topic == T]
            assert len(one.contents(T)) + sum(missing) == count
