"""`hub.schedules` on a virtual clock, in memory."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import telex
from telex.testing.clock import VirtualClock


def times(messages: Any) -> list[str]:
    return [message.id.partition("T")[2][:8] for message in messages]


def test_a_schedule_publishes_until_it_is_deleted() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub, hub.topic("ticks").subscribe() as ticks:
            added = await hub.schedules.add("tick", "every 10s", topic="ticks", content={"n": 1})
            assert (added.fired, added.last, added.topic, added.command) == (0, None, "ticks", None)
            await asyncio.sleep(25)
            seen = await ticks.receive_many()
            assert times(seen) == ["00:00:10", "00:00:20"]
            assert [message.content for message in seen] == [{"n": 1}, {"n": 1}]
            info = await hub.schedules.get("tick")
            assert info is not None
            assert info.fired == 2
            assert info.next is not None
            assert info.last is not None
            assert info.next - info.last == timedelta(seconds=10)
            assert await hub.schedules.delete("tick")
            assert not await hub.schedules.delete("tick")
            await asyncio.sleep(60)
            with pytest.raises(telex.WouldBlock):
                ticks.receive_nowait()
            assert await hub.schedules.list() == []

    clock.run(main())


@pytest.mark.slow
def test_a_schedule_sends_a_command_once_for_each_instant() -> None:
    clock = VirtualClock()
    hub = telex.Hub("memory://", clock=clock)
    ran: list[tuple[int, str | None]] = []

    @hub.command("report", once=True)
    async def report(month: int, context: telex.CommandContext[int]) -> None:
        ran.append((month, context.key))

    async def main() -> None:
        async with hub:
            await hub.schedules.add("r", "0 9 * * *", command="report", content=5, tz="Europe/Paris")
            await asyncio.sleep(2 * 86400)

    clock.run(main())
    assert ran == [(5, "r@2026-01-01T08:00:00+00:00"), (5, "r@2026-01-02T08:00:00+00:00")]


@pytest.mark.parametrize(("misfire", "expected"), [("skip", 1), ("once", 2), ("all", 4)])
def test_runs_that_a_pause_missed_follow_the_policy(misfire: Any, expected: int) -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub, hub.topic("ticks").subscribe() as ticks:
            await hub.schedules.add("tick", "every 10s", topic="ticks", misfire=misfire)
            await hub.schedules.pause("tick")
            await asyncio.sleep(35)
            assert (await hub.schedules.list())[0].fired == 0
            await hub.schedules.resume("tick")
            await asyncio.sleep(10)
            assert len(await ticks.receive_many()) == expected

    clock.run(main())


def test_new_times_count_from_the_change_and_replace_the_old_ones() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub, hub.topic("other").subscribe() as other:
            await hub.schedules.add("tick", "every 10s", topic="ticks")
            await asyncio.sleep(5)
            await hub.schedules.change("tick", "every 3s", topic="other", content="new")
            await asyncio.sleep(7)
            assert times(await other.receive_many()) == ["00:00:08", "00:00:11"]

    clock.run(main())


def test_one_run_ends_the_schedule_and_its_name_is_free() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub, hub.topic("ticks").subscribe() as ticks:
            await hub.schedules.add("once", "2026-01-01T00:00:05Z", topic="ticks")
            await asyncio.sleep(10)
            assert times(await ticks.receive_many()) == ["00:00:05"]
            assert [(info.ended, info.next) for info in await hub.schedules.list()] == [(True, None)]
            await hub.schedules.add("once", "every 5s", topic="ticks")
            await asyncio.sleep(7)
            assert times(await ticks.receive_many()) == ["00:00:15"]

    clock.run(main())


async def test_an_unknown_schedule_is_refused() -> None:
    async with telex.Hub("memory://") as hub:
        for change in (hub.schedules.pause("x"), hub.schedules.resume("x"), hub.schedules.change("x", "@daily")):
            with pytest.raises(telex.BadOption, match="no schedule has this name"):
                await change
        assert await hub.schedules.get("x") is None
