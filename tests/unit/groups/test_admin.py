"""The groups of an engine, for programs: listed, paused, forgotten, and their dead letters."""

from pathlib import Path

import pytest

import telex
from tests.support.loops import idle, until


async def test_a_group_is_paused_on_all_its_patterns() -> None:
    hub, handled = telex.Hub("memory://"), []

    @hub.on("x", "y", group="g")
    async def handle(content: int) -> None:
        handled.append(content)

    async with hub:
        await idle()
        assert await hub.groups.pause("g")
        assert not await hub.groups.pause("nobody")
        for topic in "xy":
            await hub.topic(topic).publish(1)
        await idle()
        assert handled == []
        assert await hub.groups.resume("g")
        await idle()
        assert handled == [1, 1]


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/groups.db"


async def failing(hub: telex.Hub, count: int) -> list[telex.DeadLetter]:
    """So many dead letters of the group g on x, the oldest first. Their handler fails once for each."""
    failed: set[int] = set()

    @hub.on("x", group="g", retry=telex.Retry(attempts=1))
    async def fails(content: int) -> None:
        if content not in failed:
            failed.add(content)
            raise ValueError(f"no {content}")

    for number in range(count):
        await hub.topic("x").publish(number)
    await until(lambda: hub.statistics().handlers[0].dead == count)

    async def are_there() -> bool:
        return len(await hub.groups.dead("g")) == count

    await until(are_there)
    return await hub.groups.dead("g")


async def test_groups_are_listed_with_what_is_left_for_them(url: str) -> None:
    async with telex.Hub(url) as hub:
        assert await hub.groups.list() == []
        await failing(hub, 2)
        (found,) = await hub.groups.list()
        assert (found.group, found.pattern, found.lag, found.leased, found.dead, found.paused) == (
            *("g", "x", 0, 0, 2, False),
        )


async def test_a_dead_letter_says_what_it_was_and_why(url: str) -> None:
    async with telex.Hub(url) as hub:
        first, second = await failing(hub, 2)
        assert [letter.message.content for letter in (first, second)] == [0, 1]
        assert (first.group, first.pattern, first.attempts, first.reason) == ("g", "x", 1, "ValueError: no 0")
        assert await hub.groups.dead("other") == []
        assert [letter.position for letter in await hub.groups.dead(limit=1)] == [first.position]


async def test_a_dead_letter_is_delivered_again_or_dropped_once(url: str) -> None:
    async with telex.Hub(url) as hub:
        first, second = await failing(hub, 2)
        assert await hub.groups.retry(first)
        assert not await hub.groups.retry(first)
        assert await hub.groups.drop(second)
        assert not await hub.groups.drop(second)
        await until(lambda: hub.statistics().handlers[0].handled == 1)
        assert await hub.groups.dead() == []


async def test_a_pause_may_be_of_one_pattern(url: str) -> None:
    async with telex.Hub(url) as hub:
        handled: list[int] = []
        hub.on("x", "y", group="g")(handled.append)

        async def joined() -> bool:
            return len(await hub.groups.list()) == 2

        await until(joined)
        assert await hub.groups.pause("g", "x")
        assert not await hub.groups.pause("g", "z")
        assert [info.paused for info in await hub.groups.list()] == [True, False]
        await hub.topic("x").publish(1)
        await hub.topic("y").publish(2)
        await until(lambda: handled == [2])
        assert await hub.groups.resume("g", "x")
        await until(lambda: handled == [2, 1])


async def test_a_group_that_is_forgotten_is_gone_with_its_dead_letters(url: str) -> None:
    async with telex.Hub(url) as hub:
        await failing(hub, 1)
    async with telex.Hub(url) as hub:
        assert await hub.groups.forget("g", "x") is (url != "memory://")
        assert not await hub.groups.forget("g", "x")
        assert await hub.groups.list() == []
        assert await hub.groups.dead() == []


async def test_a_running_group_goes_on_from_another_start(url: str) -> None:
    hub, handled = telex.Hub(url), []

    @hub.on("x", "y", group="g")
    async def handle(content: int) -> None:
        handled.append(content)

    async with hub:
        for content in range(3):
            await hub.topic("x").publish(content)
        await hub.idle()
        position = await hub.topic("x").position()
        assert await hub.groups.seek("g", 2, "x") is True
        await hub.idle()
        await hub.topic("x").publish(3)
        await hub.idle()
        assert await hub.groups.seek("g", position, "x") is True
        await hub.idle()
        assert handled == [0, 1, 2, 1, 2, 3, 3]
        assert await hub.groups.seek("g", "earliest") is True
        await hub.idle()
        assert handled[7:] == [0, 1, 2, 3]
        assert await hub.groups.seek("nobody", "new") is False


async def test_a_start_that_a_group_cannot_have_moves_nothing(url: str) -> None:
    hub, handled = telex.Hub(url), []

    @hub.on("x", "y:*", group="g")
    async def handle(content: int) -> None:
        handled.append(content)

    async with hub:
        await hub.topic("x").publish(1)
        await hub.idle()
        with pytest.raises(telex.BadOption, match="a position belongs to one topic"):
            await hub.groups.seek("g", telex.Position(0, "epoch"))
        with pytest.raises(telex.BadOption, match="give 'new', 'earliest', a Position"):
            await hub.groups.seek("g", "10m")  # type: ignore[arg-type]  # a mistake
        await hub.idle()
        assert handled == [1]


async def test_only_a_dead_letter_is_retried_or_dropped() -> None:
    async with telex.Hub() as hub:
        for act in (hub.groups.retry, hub.groups.drop):
            with pytest.raises(telex.BadOption, match="it must be a dead letter of"):
                await act(3)  # type: ignore[arg-type]  # the mistake
