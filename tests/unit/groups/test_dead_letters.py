"""Copies of dead letters: published once, with the reason, and never in a circle."""

import asyncio
from collections.abc import Callable

import pytest

import telex
from tests.support.loops import idle, until
from tests.support.shell import Clock
from tests.unit.groups.parts import QUICK, accounts, info, watched


async def test_the_topic_of_a_group_s_own_dead_letters_is_not_for_it() -> None:
    hub, calls = telex.Hub("memory://"), []

    @hub.on("orders:*", group="g", retry=QUICK, dead_letter="orders:dead", run_in="loop")
    def handle(message: telex.Message[int]) -> None:
        calls.append(message.topic)
        raise ValueError("always")

    async with hub, hub.topic("orders:dead").subscribe() as dead:
        await hub.topic("orders:1").publish(1)
        await idle()
        assert calls == ["orders:1"] * 2
        assert (dead.waiting, (await info(hub)).lag, (await info(hub)).dead) == (1, 0, 1)


async def test_two_groups_that_fail_do_not_go_on_for_ever() -> None:
    hub, calls = telex.Hub("memory://"), []

    def fails(message: telex.Message[int]) -> None:
        calls.append(message.topic)
        raise ValueError("always")

    for group in ("a", "b"):
        hub.on(">", group=group, retry=QUICK, run_in="loop")(fails)
    async with hub:
        await hub.topic("x").publish(1)
        for _ in range(20):
            await idle()
        assert sorted(calls) == ["dead:a"] * 2 + ["dead:b"] * 2 + ["x"] * 4
        assert [found.dead for found in await hub.groups.list()] == [2, 2]
        assert await hub.topics("dead:*") == ["dead:a", "dead:b"]


async def test_the_copy_is_published_before_and_once(clock: Callable[[], Clock]) -> None:
    moved = clock()
    hub, groups = watched()

    @hub.on("x", group="g", lease=5, retry=telex.Retry(attempts=1), run_in="loop")
    def handle(content: int) -> None:
        raise ValueError("always")

    async with hub, hub.topic("dead:g").subscribe() as dead:
        groups.fail = 0
        await hub.topic("x").publish(1, key="k")
        copy = await dead.receive()
        assert groups.batches == [], "it is not dead before"
        groups.fail = 1
        await idle()
        assert await hub.groups.dead() == [], "the engine failed, and it comes again when its lease has ended"
        await moved.forward(4.9)
        assert await hub.groups.dead() == []
        await moved.forward(0.2)
        await idle()
        assert len(await hub.groups.dead()) == 1
        assert dead.waiting == 0
        assert copy.id.startswith("g:")
        assert copy.key == "k"


async def test_a_copy_that_finds_no_room_is_tried_again(clock: Callable[[], Clock]) -> None:
    moved, hub = clock(), telex.Hub("memory://")

    @hub.on("x", group="g", retry=telex.Retry(attempts=1, first="2s", jitter=0), run_in="loop")
    def handle(content: int) -> None:
        raise ValueError("always")

    async with hub, hub.topic("dead:g").subscribe(buffer=1, overflow="fail") as dead:
        await hub.topic("dead:g").publish(0)
        await hub.topic("x").publish(1)
        await idle()
        assert ((await info(hub)).dead, (await info(hub)).lag) == (0, 1)
        assert (await dead.receive()).content == 0
        await moved.forward(2.1)
        assert (await dead.receive()).content == 1
        assert ((await info(hub)).dead, (await info(hub)).lag) == (1, 0)


async def test_a_copy_that_does_not_fit_its_topic_holds_nothing_up() -> None:
    hub = telex.Hub("memory://")

    @hub.on("x", group="g", retry=QUICK, run_in="loop")
    def handle(content: str) -> None:
        raise ValueError("always")

    async with hub:
        hub.topic("dead:g", int)
        await hub.topic("x").publish("text")
        await idle()
        assert (await info(hub)).dead == 1


async def test_ids_and_headers_that_are_long_or_odd_are_copied() -> None:
    hub = telex.Hub("memory://")

    @hub.on("x", group="g", run_in="loop")
    def handle(content: str) -> None:
        raise telex.Reject("two\nlines\u2028and more" + "!" * 1000)

    async with hub, hub.topic("dead:g").subscribe() as dead:
        for last in "ab":
            await hub.topic("x").publish("text", id="i" * 254 + last, headers={"Telex-Group": "mine", "other": "o"})
        copies = [await dead.receive(), await dead.receive()]
        assert copies[0].id != copies[1].id
        assert (copies[0].headers["telex-group"], copies[0].headers["other"]) == ("g", "o")
        assert copies[0].headers["telex-reason"].startswith("two lines and more!")


async def test_a_letter_that_is_rejected_by_hand_is_copied_too() -> None:
    hub, won = telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def handle(context: telex.Context[int]) -> None:
        won.append([await context.reject("by hand"), await context.ack(), await context.nack()])

    async with hub, hub.topic("dead:g").subscribe() as dead:
        await hub.topic("x").publish(1)
        assert (await dead.receive()).headers["telex-reason"] == "by hand"
        await idle()
        assert won == [[True, False, False]]
        assert accounts(hub).dead == 1
        (letter,) = await hub.groups.dead("g")
        assert letter.reason == "by hand"


@pytest.mark.parametrize("last", [False, True])
async def test_a_message_whose_rejection_is_cancelled_comes_again(last: bool) -> None:
    hub, attempts = telex.Hub(), list[int]()

    @hub.on("x", group="g", retry=telex.Retry(attempts=1 if last else 9, first=0))
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        async with asyncio.timeout(None if len(attempts) > 1 else 0.001):
            await (context.nack() if last else context.reject())

    async with hub:
        reader = hub.topic("dead:g").subscribe(overflow="block", buffer=1)
        async with reader:
            await hub.topic("dead:g").publish("full")
            await hub.topic("x").publish(1)
            await until(lambda: len(attempts) == 2)
            assert [(await reader.receive()).content for _ in range(2)] == ["full", 1]
            await hub.idle()
        assert len(await hub.groups.dead("g")) == 1
