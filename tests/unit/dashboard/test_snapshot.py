"""The state of an engine at one moment: every part, its bounds, and parts that cannot be read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.dashboard.jobs import MAX_TEXT
from telex.dashboard.snapshot import MAX_SAMPLE, MAX_TOPICS, Snapshots
from tests.support.loops import until
from tests.unit.commands.parts import Gate


def failing(url: str) -> telex.Hub:
    hub = telex.Hub(url)

    @hub.on("orders", group="billing", retry=telex.Retry(attempts=1))
    async def bill(number: int) -> None:
        if number < 0:
            raise ValueError("declined " + "x" * 1000)

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    @hub.every("1h", name="hourly")
    async def hourly() -> None: ...

    return hub


async def test_a_snapshot_has_topics_groups_dead_letters_commands_and_triggers(url: str) -> None:
    async with failing(url) as hub:
        for number in (1, 2, -3):
            await hub.topic("orders").publish(number)
        await hub.idle()
        await hub.call("double", 2)
        await hub.schedules.add("report", "0 9 * * mon", command="double", content=7)
        await hub.schedules.add("cleanup", "@daily", topic="old")
        await hub.idle()
        found = await Snapshots(hub, "the address").take()
    assert (found.url, found.problem, found.lacking) == ("the address", "", {})
    topics = {each.topic: each for each in found.topics}
    assert topics["orders"].rate == 0.3  # three messages in ten seconds
    assert topics["orders"].last is not None
    assert not [name for name in topics if name.startswith("$")]
    assert [(info.group, info.lag, info.dead) for info in found.groups] == [("billing", 0, 1)]
    (dead,) = found.dead
    assert (dead.topic, dead.content, dead.attempts) == ("orders", "-3", 1)
    assert "declined" in dead.reason
    assert len(dead.reason) <= MAX_TEXT
    assert set(found.more.values()) == {0}
    assert [(each.command, each.unfinished, each.leased) for each in found.commands] == [("double", 0, 0)]
    assert [(each.trigger, each.paused) for each in found.triggers] == [("hourly", False)]
    assert [(each.schedule, each.target, each.content) for each in found.schedules] == [
        ("cleanup", "old", ""),
        ("report", "double", "7"),
    ]
    assert found.jobs == []


async def test_commands_that_run_or_are_prefetched_are_unfinished(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("ship", concurrency=1)
    async def ship(number: int) -> None:
        await gate.pass_through()

    async with hub:
        for number in range(5):
            await hub.send("ship", number)
        await gate.reached.wait()
        (ships,) = (await Snapshots(hub, "").take()).commands
        assert ships.unfinished == 5
        assert 1 <= ships.leased <= 5
        gate.opened.set()


async def test_commands_that_wait_for_their_limit_are_unfinished() -> None:
    hub = telex.Hub("memory://", close_timeout=0)

    @hub.command("ship", limit="1/h")
    async def ship(number: int) -> None: ...

    async with hub:
        await hub.call("ship", 1)
        await hub.send("ship", 2)
        await until(lambda: hub.statistics().commands[0].limited == 1)
        (ships,) = (await Snapshots(hub, "").take()).commands
        assert (ships.unfinished, ships.leased) == (1, 0)


async def test_another_process_sees_commands_and_triggers_of_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/telex.db"
    async with failing(url) as hub, telex.Hub(url) as watching:
        await hub.call("double", 2)
        await hub.send("double", 3, delay="1h", priority="low")
        snapshots = Snapshots(watching, url)
        snapshots.ok["double"] += 1
        found = await snapshots.take()
    assert [(each.command, each.ok) for each in found.commands] == [("double", 1)]
    assert [(each.command, each.state, each.content) for each in found.jobs] == [("double", "delayed", "3")]
    assert [each.trigger for each in found.triggers] == ["hourly"]


async def test_many_topics_and_many_messages_are_bounded() -> None:
    async with telex.Hub() as hub:
        for number in range(MAX_TOPICS + 5):
            await hub.topic(f"topic:{number}").publish(number)
        for number in range(2 * MAX_SAMPLE):
            await hub.topic("a").publish(number)
        found = await Snapshots(hub, "").take()
    assert (len(found.topics), found.more["topics"]) == (MAX_TOPICS, 6)
    assert found.topics[0].topic == "a"
    assert found.topics[0].rate > MAX_SAMPLE  # they were published within a second


async def test_content_without_a_json_form_is_shown_as_text() -> None:
    hub = telex.Hub()

    @hub.on("things", group="shelf", retry=telex.Retry(attempts=1))
    async def put(thing: Any) -> None:
        raise ValueError

    async with hub:
        await hub.topic("things").publish(object())
        await hub.idle()
        found = await Snapshots(hub, "").take()
    assert found.dead[0].content.startswith("<object object")


async def test_many_groups_commands_and_triggers_are_bounded() -> None:
    hub = telex.Hub()
    for name in ("a", "b", "c"):
        hub.on(name, group=name)(take)
        hub.command(name)(take)
        hub.every("1h", name=name)(nothing)
    async with hub:
        for name in ("a", "b", "c"):
            await hub.topic(name).publish(1)
            await hub.schedules.add(name, "@daily", topic="t")
        await hub.idle()
        found = await Snapshots(hub, "", max_rows=1).take()
    assert [len(found.groups), len(found.commands), len(found.triggers), len(found.schedules)] == [1, 1, 1, 1]
    assert [found.more[part] for part in ("groups", "commands", "triggers", "schedules")] == [2, 2, 2, 2]


async def take(number: int) -> None: ...


async def nothing() -> None: ...


async def test_an_engine_that_does_not_answer_leaves_the_last_state_with_the_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with telex.Hub() as hub:
        await hub.topic("orders").publish(1)
        snapshots = Snapshots(hub, "", within=0.2)
        before = await snapshots.take()

        async def silent(pattern: str = ">") -> list[str]:
            await asyncio.Event().wait()
            return []

        async def failing(pattern: str = ">") -> list[str]:
            raise telex.EngineFailed("listing topics", "the disk is full")

        monkeypatch.setattr(hub, "topics", silent)
        found = await snapshots.take()
        assert (found.topics, found.at, before.problem) == (before.topics, before.at, "")
        assert "has not answered within 0.2 seconds" in found.problem
        monkeypatch.setattr(hub, "topics", failing)
        assert "the disk is full" in (await snapshots.take()).problem
        monkeypatch.undo()
        assert (await snapshots.take()).problem == ""
