"""The commands of a hub in memory, by id, on a virtual clock."""

import asyncio

import pytest

import telex
from telex.testing.clock import VirtualClock
from tests.support.internals import leases_of
from tests.unit.commands.parts import OutOfStock, unreachable


def test_a_delayed_command_waits_for_the_clock_and_not_longer() -> None:
    clock = VirtualClock()

    async def main() -> None:
        hub = telex.Hub("memory://", clock=clock)

        @hub.command("now")
        async def now() -> float:
            return clock()

        async with hub:
            sent = clock()
            assert round(await (await hub.send("now", delay="3h")) - sent) == 10800

    clock.run(main())


def test_a_kept_outcome_ends_with_its_time() -> None:
    clock = VirtualClock()

    async def main() -> None:
        hub = telex.Hub("memory://", clock=clock)
        hub.retain("$command:>", messages=0)

        @hub.command("double", keep="1h")
        async def double(number: int) -> int:
            return 2 * number

        async with hub:
            ticket = await hub.send("double", 2)
            assert await ticket == 4
            clock.advance(3599)
            assert await (await hub.ticket(ticket.id)) == 4
            clock.advance(2)
            with pytest.raises(telex.NoSuchCommand):
                await hub.ticket(ticket.id)
            assert await hub.commands() == []

    clock.run(main())


async def test_a_failed_command_holds_no_frame_of_its_handler() -> None:
    import gc
    import weakref

    class Large:
        pass

    found: list[weakref.ref[Large]] = []
    hub = telex.Hub("memory://")

    @hub.command("ship")
    async def ship() -> None:
        large = Large()
        found.append(weakref.ref(large))
        raise OutOfStock("none left")

    async with hub:
        outcome = await (await hub.send("ship")).outcome()
        assert not outcome.ok
        gc.collect()
        assert found[0]() is None
        assert len(await hub.commands(state="failed")) == 1


async def test_a_retry_that_fails_leaves_the_command_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, ran = telex.Hub(), list[int]()

    @hub.command("ship", once=True)
    async def ship(number: int) -> None:
        ran.append(number)
        raise OutOfStock("none left")

    async with hub:
        ticket = await hub.send("ship", 1, key="a")
        await ticket.outcome()
        with monkeypatch.context() as patched:
            patched.setattr(leases_of(hub, "ship").store, "get", unreachable)
            with pytest.raises(telex.EngineFailed, match="the disk is gone"):
                await hub.retry(ticket.id)
        assert [job.state for job in await hub.commands()] == ["failed"]
        both = await asyncio.gather(hub.retry(ticket.id), hub.retry(ticket.id), return_exceptions=True)
        (again,) = [each for each in both if isinstance(each, telex.Ticket)]
        assert (await again.outcome()).attempt == 2
    assert ran == [1, 1]
