"""The calls of a hub that are not finished: waiting for them while it is open."""

import asyncio
from pathlib import Path

import pytest

import telex
from telex.testing.clock import VirtualClock
from tests.support.loops import idle
from tests.unit.commands.parts import Gate


async def test_idle_waits_for_live_handlers_groups_and_what_their_calls_publish(url: str) -> None:
    hub, done = telex.Hub(url), []

    @hub.on("orders", group="mail")
    async def mail(number: int) -> None:
        await hub.topic("mails").publish(number)

    @hub.on("mails")
    async def log(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    async with hub:
        for number in (1, 2, 3):
            await hub.topic("orders").publish(number)
        await hub.idle()
        assert done == [1, 2, 3]
        assert [info.lag for info in await hub.groups.list()] == [0]


async def test_idle_waits_for_commands_that_nobody_awaits(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("build")
    async def build() -> None:
        await gate.pass_through()

    async with hub:
        await hub.send("build")
        waiting = asyncio.create_task(hub.idle())
        await gate.reached.wait()
        await idle()
        assert not waiting.done()
        gate.opened.set()
        await waiting
        assert gate.passed == 1


async def test_idle_and_closing_wait_at_the_same_time(gate: Gate) -> None:
    hub = telex.Hub()

    @hub.on("orders")
    async def slow(number: int) -> None:
        await gate.pass_through()

    async with hub:
        await hub.topic("orders").publish(1)
        waits = [asyncio.create_task(hub.idle()) for _ in range(2)]
        await gate.reached.wait()
        closing = asyncio.create_task(hub.aclose())
        await idle()
        assert not any(task.done() for task in (*waits, closing))
        gate.opened.set()
        await asyncio.gather(*waits, closing)


async def test_idle_raises_when_the_hub_is_closed_with_unfinished_messages() -> None:
    hub, begun = telex.Hub(close_timeout=0.01), asyncio.Event()

    @hub.on("a")
    async def handle(content: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with hub:
        hub.topic("a").publish_nowait(1)
        await begun.wait()
        waiting = asyncio.create_task(hub.idle())
        await idle()
    with pytest.raises(telex.Closed, match="unfinished messages"):
        await waiting


def test_idle_waits_for_retries_of_hours_in_little_time_on_a_virtual_clock() -> None:
    clock, calls = VirtualClock(), list[float]()

    async def main() -> None:
        hub = telex.Hub(clock=clock)

        @hub.on("orders", group="mail", retry=telex.Retry(attempts=2, first="5h", most="5h", jitter=0))
        async def fail(number: int) -> None:
            calls.append(clock())
            raise ValueError(number)

        async with hub:
            await hub.topic("orders").publish(1)
            await hub.idle(timeout="1d")

    clock.run(main())
    assert calls[1] - calls[0] >= 5 * 3600


async def test_idle_names_the_unfinished_work_when_its_time_is_over(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/work.db")

    @hub.on("orders", group="mail", retry=telex.Retry(first=200))
    async def fail(number: int) -> None:
        raise ValueError(number)

    async with hub:
        await hub.topic("orders").publish(1)
        with pytest.raises(telex.Timeout, match="the group 'mail' has 1 of 'orders'"):
            await hub.idle(timeout=0.1)


async def test_idle_does_not_wait_for_a_paused_group(url: str) -> None:
    hub = telex.Hub(url)

    @hub.on("orders", group="mail")
    async def mail(number: int) -> None: ...

    async with hub:
        await hub.idle()
        await hub.groups.pause("mail")
        await hub.topic("orders").publish(1)
        await hub.idle()


async def test_a_handler_cannot_wait_until_its_hub_is_idle(caplog: pytest.LogCaptureFixture) -> None:
    hub, refused = telex.Hub(), []

    @hub.on("orders")
    async def wait(number: int) -> None:
        with pytest.raises(telex.Misuse, match="wait in a handler until the hub is idle") as error:
            await hub.idle()
        refused.append(error.value)

    async with hub:
        await hub.topic("orders").publish(1)
        await hub.idle()
        assert len(refused) == 1


async def test_a_hub_that_is_not_open_is_not_waited_for() -> None:
    with pytest.raises(telex.Closed):
        await telex.Hub().idle()
