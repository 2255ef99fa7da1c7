"""The schedules of several processes: each instant fires once, and changes take effect in all of them."""

import asyncio
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

import telex
from telex.schedules.schedules import runner_of
from telex.testing.clock import VirtualClock
from telex.triggers.conditions.schedule import Misfire
from tests.support.internals import set_bounds
from tests.support.loops import until
from tests.support.postgres import url_of
from tests.support.pretend import PretendEngine, Server

WORKER = """
import asyncio, sys, telex
async def main():
    hub = telex.Hub(sys.argv[1])
    hub.schedules.fire()
    async with hub:
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_each_instant_fires_once_though_a_process_is_killed(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "postgresql":
        url = url_of(request.getfixturevalue("postgres"), "schedules_killed")
    else:
        url = f"sqlite:///{tmp_path}/shop.db"
    async with telex.Hub(url) as hub, hub.topic("$command:work:request").subscribe() as sent:
        await hub.schedules.add("tick", "every 50ms", command="work", misfire="all")
        workers = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, url, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert await worker.stdout.readline() == b"ready\n"
            await runner_of(hub.schedules).stop()  # from here on only the workers fire
            ids = [(await sent.receive(20)).id for _ in range(20)]
            workers[0].kill()
            ids += [(await sent.receive(20)).id for _ in range(20)]
        finally:
            for worker in workers:
                if worker.returncode is None:
                    worker.kill()
                await worker.communicate()
    assert [id for id, number in Counter(ids).items() if number > 1] == []
    instants = [datetime.fromisoformat(id.partition("@")[2]).timestamp() for id in ids]
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert all(abs(gap - 0.05) < 0.001 for gap in gaps), gaps  # no instant is left out


@pytest.mark.slow
async def test_changes_take_effect_in_the_other_processes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    firing = telex.Hub(url)
    firing.schedules.fire()
    async with firing, telex.Hub(url) as other, other.topic("ticks").subscribe() as ticks:
        entries = runner_of(firing.schedules).entries
        await runner_of(firing.schedules).loaded.wait()
        await other.schedules.add("tick", "every 10ms", topic="ticks")
        await runner_of(other.schedules).stop()
        await ticks.receive(20)
        await until(lambda: "tick" in entries)
        await other.schedules.pause("tick")
        await until(lambda: entries["tick"].paused)
        await other.schedules.change("tick", "@yearly", topic="ticks")
        await other.schedules.resume("tick")
        await until(lambda: not entries["tick"].paused)
        await other.schedules.delete("tick")
        await until(lambda: not entries)


def test_a_change_whose_message_was_lost_is_found_by_the_next_reading() -> None:
    clock = VirtualClock()

    async def main() -> None:
        hub = telex.Hub("memory://", clock=clock)
        set_bounds(hub, schedules_check_seconds=30.0)
        async with hub, hub.topic("ticks").subscribe() as ticks:
            await hub.schedules.add("tick", "every 10s", topic="ticks")
            await asyncio.sleep(1)
            runner_of(hub.schedules).forget("tick")  # as if this process had not heard of it
            await asyncio.sleep(31)
            (message,) = await ticks.receive_many()  # one run for all that were missed
            assert message.id == "tick@2026-01-01T00:00:30+00:00"

    clock.run(main())


def test_hundreds_of_schedules_use_one_timer_and_one_task() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub, hub.topic("ticks").subscribe(buffer=5000) as ticks:
            await hub.schedules.add("first", "@daily", topic="ticks")
            await runner_of(hub.schedules).loaded.wait()
            before = len(asyncio.all_tasks())
            for number in range(300):
                await hub.schedules.add(f"tick {number}", "every 10s", topic="ticks")
            assert len(asyncio.all_tasks()) == before
            await asyncio.sleep(25)
            assert len(await ticks.receive_many(5000)) == 600

    clock.run(main())


async def test_schedules_fire_once_on_an_engine_whose_numbers_have_gaps() -> None:
    server = Server(seed=7)
    hub, other = telex.Hub(PretendEngine(server)), telex.Hub(PretendEngine(server))
    async with hub, other, other.topic("ticks").subscribe() as ticks:
        await hub.schedules.add("tick", "every 20ms", topic="ticks")
        other.schedules.fire()
        ids = [(await ticks.receive(5)).id for _ in range(5)]
        assert len(set(ids)) == 5
        assert await other.schedules.delete("tick")


async def test_an_engine_without_records_refuses_schedules_and_names_the_guarantee() -> None:
    engine = PretendEngine(Server())
    engine.guarantees = replace(engine.guarantees, records=False)
    async with telex.Hub(engine) as hub:
        for refused in (hub.schedules.add("tick", "every 1s", topic="ticks"), hub.schedules.list()):
            with pytest.raises(telex.Misuse, match=r"schedules.*does not guarantee `records`; use another one"):
                await refused


@pytest.mark.parametrize(("misfire", "fired"), [("once", 2), ("skip", 1), ("all", 6)])
def test_runs_that_come_due_while_a_schedule_is_paused_are_counted_as_missed(misfire: Misfire, fired: int) -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub:
            await hub.schedules.add("tick", "every 10s", topic="ticks", misfire=misfire)
            await asyncio.sleep(15)
            await hub.schedules.pause("tick")
            await asyncio.sleep(50)
            info = await hub.schedules.get("tick")
            assert info is not None
            assert (info.fired, info.missed, info.paused) == (1, 5, True)
            assert [each.missed for each in await hub.schedules.list()] == [5]
            await hub.schedules.resume("tick")
            await asyncio.sleep(1)
            info = await hub.schedules.get("tick")
            assert info is not None
            assert (info.fired, info.missed) == (fired, 5)
            await asyncio.sleep(5)
            info = await hub.schedules.get("tick")
            assert info is not None
            assert (info.fired, info.missed) == (fired + 1, 5)

    clock.run(main())


def test_a_command_that_is_refused_in_memory_is_logged_and_counted_as_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, ran = VirtualClock(), list[int]()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub:
            await hub.schedules.add("work", "every 10s", command="work", content="May")

            @hub.command("work")
            async def work(month: int) -> None:
                ran.append(month)

            await asyncio.sleep(15)
            info = await hub.schedules.get("work")
            assert info is not None
            assert (info.fired, info.missed) == (0, 1)
            await hub.schedules.change("work", content=5)
            await asyncio.sleep(10)
            info = await hub.schedules.get("work")
            assert info is not None
            assert (info.fired, info.missed, ran) == (1, 1, [5])

    clock.run(main())
    (record,) = [each for each in caplog.records if each.name == "telex.schedules"]
    assert "schedule work has lost its run work@2026-01-01T00:00:10+00:00, which counts as missed" in record.message
