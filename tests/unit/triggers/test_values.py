"""The values of variables: one for all programs, changed by compare-and-set."""

import asyncio

import msgspec
import pytest

import telex
from telex.hub import runtime_of
from telex.testing.clock import VirtualClock
from telex.triggers.values import EngineValue
from tests.unit.triggers.parts import programs


def test_changes_wait_for_a_subscriber_that_blocks(clock: VirtualClock) -> None:
    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            count = hub.variable("signups", 0)
            async with hub.topic("signups").subscribe(overflow="block", buffer=1) as changes:
                await count.add(1)
                with pytest.raises(telex.WouldBlock):
                    count.add_nowait(1)
                both = asyncio.gather(count.add(1), count.add(1))
                heard = [(await changes.receive()).content.value for _ in range(3)]
                assert heard == [1, 2, 3]
                assert list(await both) == [2, 3]
                assert [count.value] == [3]

    clock.run(main())


@pytest.mark.slow
async def test_a_message_that_is_no_change_is_passed_over(url: str) -> None:
    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("value", 0) >= 1, topic="one")

    async with programs(url, 2, declare) as hubs, hubs[1].topic("one").subscribe() as one:
        await hubs[0].topic("value").publish("no change at all")
        await hubs[0].variable("value", 0).set(1)
        await one.receive(timeout=20)


def test_an_older_change_does_not_replace_a_newer_value() -> None:
    count = EngineValue(runtime_of(telex.Hub()), "count", 0, None)
    for value, seq, expected in ((5, 3, 5), (4, 2, 5), (4, 3, 5), (6, 4, 6)):
        count.hear(value, seq)
        assert count.value == expected


@pytest.mark.slow
async def test_one_value_for_all(url: str) -> None:
    async with programs(url, 3, lambda hub: hub.variable("count", 0)) as hubs:
        counts = [hub.variable("count", 0) for hub in hubs]
        async with hubs[0].topic("count").subscribe() as changes:
            await asyncio.gather(*(count.add(1) for count in counts for _ in range(20)))
            values = [(await changes.receive(timeout=20)).content for _ in range(60)]
        assert [msgspec.convert(change, telex.Change[int]).value for change in values] == list(range(1, 61))
        async with hubs[1].topic("count").subscribe(start=1) as last:
            await last.receive(timeout=20)
        with pytest.raises(telex.WouldBlock):
            counts[0].add_nowait(1)
    async with telex.Hub(url) as hub:
        assert await hub.variable("count", 0).add(1) == 61


@pytest.mark.slow
async def test_a_stored_value_of_another_type_is_replaced_by_set(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with telex.Hub(url) as hub:
        await hub.variable("count", "none").set("many")

    def declare(hub: telex.Hub) -> None:
        hub.when(hub.variable("count", 0) >= 10, topic="full")

    soon = {"engine_retry_seconds": 0.01}
    async with programs(url, 2, declare, **soon) as hubs, hubs[1].topic("full").subscribe() as full:
        one, other = (hub.variable("count", 0) for hub in hubs)
        with pytest.raises(telex.ContentError, match=r"^stored content of .* cannot be read at .*replace it by `set`"):
            await one.add(1)
        async with hubs[1].topic("count").subscribe() as changes:
            assert await one.set(0) == 0  # also when it is set to what it begins as
            assert await other.set(12) == 12
            found = [msgspec.convert((await changes.receive(timeout=20)).content, telex.Change[int]) for _ in range(2)]
        assert [(change.before, change.value) for change in found] == [(0, 0), (0, 12)]
        await full.receive(timeout=20)
        assert await one.add(1) == 13
    assert "replace it by `set`" in caplog.text
