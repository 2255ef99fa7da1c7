"""The stored schedules: what is refused, and changes by several programs."""

import asyncio
from pathlib import Path
from unittest.mock import MagicMock

import pytest

import telex
from telex.engines.memory.records import MemoryRecords
from telex.hub import runtime_of
from tests.support.internals import set_bounds


async def test_a_schedule_has_one_target() -> None:
    async with telex.Hub("memory://") as hub:
        for command, topic in ((None, None), ("report", "reports")):
            with pytest.raises(telex.BadOption, match="give either command= or topic="):
                await hub.schedules.add("weekly", "@daily", command=command, topic=topic)
        with pytest.raises(telex.BadOption, match="reserved"):
            await hub.schedules.add("weekly", "@daily", topic="$schedules")


async def test_content_is_checked_against_the_declared_command() -> None:
    hub = telex.Hub("memory://")

    @hub.command("report")
    async def report(month: int) -> None: ...

    async with hub:
        with pytest.raises(telex.ContentError, match="int"):
            await hub.schedules.add("monthly", "@monthly", command="report", content="May")
        await hub.schedules.add("monthly", "@monthly", command="report", content=5)
        with pytest.raises(telex.ContentError, match="int"):
            await hub.schedules.change("monthly", content="May")
        assert (await hub.schedules.list())[0].content == 5


async def test_content_is_checked_against_the_declared_type_of_the_topic() -> None:
    async with telex.Hub("memory://") as hub:
        hub.topic("months", int)
        with pytest.raises(telex.ContentError, match="int"):
            await hub.schedules.add("monthly", "@monthly", topic="months", content="May")
        await hub.schedules.add("monthly", "@monthly", topic="months", content=5)
        with pytest.raises(telex.ContentError, match="int"):
            await hub.schedules.change("monthly", content="May")
        await hub.schedules.change("monthly", topic="other", content="May")


async def test_a_taken_name_and_too_many_schedules_are_refused() -> None:
    async with telex.Hub("memory://") as hub:
        set_bounds(hub, schedules=2)
        await hub.schedules.add("a", "@daily", topic="t")
        with pytest.raises(telex.BadOption, match="another schedule has this name"):
            await hub.schedules.add("a", "@daily", topic="t")
        await hub.schedules.add("b", "@daily", topic="t")
        with pytest.raises(telex.BadOption, match="there must be at most 2 schedules"):
            await hub.schedules.add("c", "@daily", topic="t")
        assert await hub.schedules.delete("a")
        await hub.schedules.add("c", "@daily", topic="t")


async def test_schedules_are_counted_once_for_many_that_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    async with telex.Hub("memory://") as hub:
        set_bounds(hub, schedules=50)
        keys = MagicMock(wraps=MemoryRecords.keys)
        monkeypatch.setattr(MemoryRecords, "keys", lambda self, bucket: keys(self, bucket))
        for number in range(50):
            await hub.schedules.add(f"s{number}", "@daily", topic="t")
        with pytest.raises(telex.BadOption, match="there must be at most 50 schedules"):
            await hub.schedules.add("more", "@daily", topic="t")
        counted = [call for call in keys.call_args_list if call.args[1] == "$schedules"]
        assert len(counted) < 25  # among them those of the process that fires


async def test_changes_of_two_programs_are_both_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    async with telex.Hub(url) as one, telex.Hub(url) as other:
        await one.schedules.add("a", "@daily", topic="t")
        await asyncio.gather(one.schedules.pause("a"), other.schedules.change("a", content=7))
        (info,) = await other.schedules.list()
        assert (info.paused, info.content, info.next) == (True, 7, None)


async def test_a_record_of_a_newer_telex_is_an_error_that_says_so() -> None:
    async with telex.Hub("memory://") as hub:
        assert await runtime_of(hub).records("test").put("$schedules", "a", b'{"start":0,"when":7}', 0)
        with pytest.raises(telex.Misuse, match="a newer telex"):
            await hub.schedules.list()
