"""The changes that the page makes: to groups, dead letters, commands, schedules and triggers."""

from typing import Any

import pytest

import telex
import telex.gateway
from telex.dashboard.actions import ACTIONS, Actions
from telex.dashboard.snapshot import Snapshots
from tests.unit.commands.parts import Gate


class Page:
    """The actions of a page, and its snapshots."""

    def __init__(self, hub: telex.Hub) -> None:
        self.snapshots = Snapshots(hub, "")
        self.act = Actions(hub, self.snapshots).act


async def test_groups_are_paused_and_dead_letters_retried_and_dropped() -> None:
    hub, handled, broken = telex.Hub(), list[int](), True

    @hub.on("orders", group="billing", retry=telex.Retry(attempts=1))
    async def bill(number: int) -> None:
        if broken:
            raise ValueError
        handled.append(number)

    async with hub:
        for number in (1, 2):
            await hub.topic("orders").publish(number)
        await hub.idle()
        page = Page(hub)
        letters = (await page.snapshots.take()).dead
        broken = False
        await page.act("retry", {"id": letters[0].id})
        await hub.idle()
        assert handled == [1]
        await page.act("drop", {"id": letters[1].id})
        assert await hub.groups.dead() == []
        await page.act("pause", {"group": "billing", "pattern": "orders"})
        assert (await hub.groups.list())[0].paused
        await page.act("resume", {"group": "billing", "pattern": "orders"})
        assert not (await hub.groups.list())[0].paused
        with pytest.raises(telex.gateway.Refused, match="gone"):
            await page.act("retry", {"id": letters[0].id})


async def test_schedules_are_paused_resumed_and_deleted(url: str) -> None:
    async with telex.Hub(url) as hub:
        page = Page(hub)
        await hub.schedules.add("tick", "@daily", topic="ticks")
        for action, paused in (("pause_schedule", True), ("resume_schedule", False)):
            await page.act(action, {"schedule": "tick"})
            assert [each.paused for each in await hub.schedules.list()] == [paused]
        await page.act("delete_schedule", {"schedule": "tick"})
        assert await hub.schedules.list() == []


async def test_commands_are_cancelled_and_run_again(url: str, gate: Gate) -> None:
    hub, broken = telex.Hub(url), True

    @hub.command("ship")
    async def ship(number: int) -> int:
        if number < 0 and broken:
            raise telex.CommandError("none left")
        if number > 0:
            await gate.pass_through()
        return number

    async with hub:
        page = Page(hub)
        running, failed = await hub.send("ship", 1), await hub.send("ship", -1)
        await gate.reached.wait()
        await failed.outcome(timeout=5)
        assert [job.state for job in (await page.snapshots.take()).jobs] == ["running", "failed"]
        await page.act("cancel_job", {"id": running.id})
        with pytest.raises(telex.CommandFailed, match="cancelled it"):
            await running.result(timeout=5)
        broken = False
        await page.act("retry_job", {"id": failed.id})
        assert await (await hub.ticket(failed.id)).result(timeout=5) == -1
        assert (await page.snapshots.take()).jobs == []  # read again, though the last listing was just now
        with pytest.raises(telex.gateway.Refused, match="the command is done, and only a command that failed"):
            await page.act("retry_job", {"id": failed.id})
        with pytest.raises(telex.gateway.Refused, match="gone"):
            await page.act("cancel_job", {"id": running.id})


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("content", [{"id": "x", "group": "x", "trigger": "x", "schedule": "x"}, None, "x"])
async def test_an_object_that_does_not_exist_is_gone(action: str, content: Any) -> None:
    async with telex.Hub() as hub:
        with pytest.raises(telex.gateway.Refused, match="gone"):
            await Page(hub).act(action, content)


async def test_an_unknown_action_is_refused() -> None:
    async with telex.Hub() as hub:
        with pytest.raises(telex.gateway.Refused, match="no action 'format'"):
            await Page(hub).act("format", {})
