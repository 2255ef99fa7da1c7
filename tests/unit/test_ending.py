"""Hubs that are used outside of their event loop, opened twice, or ended by a function that they call."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

import telex
import telex.blocking
from telex.hub import runtime_of
from telex.process.processes import ProcessPool
from telex.testing.clock import VirtualClock
from tests.support.loops import idle
from tests.support.shell import in_a_thread

PROGRAM = """
import signal, sys, time, telex.blocking
hub = telex.blocking.Hub()

@hub.on("t")
def ends(content: int) -> None:
    sys.exit(3)

with hub:
    hub.topic("t").publish(1)
    {waits}
"""


@pytest.mark.slow
@pytest.mark.parametrize("waits", ["signal.pause()", "hub.topic('q').subscribe().__enter__().receive()", "pass"])
def test_sys_exit_in_a_handler_of_a_blocking_hub_ends_the_program(waits: str) -> None:
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + PROGRAM.format(waits=waits)
    done = subprocess.run([sys.executable, "-c", program], timeout=30, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")


DECLARATIONS: dict[str, Any] = {
    "on": lambda hub: hub.on("t", run_in="loop")(print),
    "group": lambda hub: hub.on("t", group="g", run_in="loop")(print),
    "command": lambda hub: hub.command("c", run_in="loop")(print),
    "every": lambda hub: hub.every("1h", run_in="loop")(print),
}


@pytest.mark.parametrize("how", DECLARATIONS)
async def test_declaring_on_an_open_hub_outside_of_its_loop_is_told(how: str) -> None:
    def declare() -> str:
        with pytest.raises(telex.WrongThread, match=r"declare on the open hub .*REPL: async def main") as told:
            DECLARATIONS[how](hub)
        return str(told.value)

    async with telex.Hub() as hub:
        in_a_thread(declare)
        await idle()
        assert not hub.statistics().handlers
        DECLARATIONS[how](hub)


def test_a_hub_is_opened_in_asyncio_and_once() -> None:
    async def twice() -> None:
        hub = telex.Hub()
        async with hub:
            pass
        with pytest.raises(telex.Closed, match="make another where you open it, such as in a lifespan or a fixture"):
            await hub.__aenter__()

    asyncio.run(twice())
    opening = telex.Hub().__aenter__()
    with pytest.raises(telex.Misuse, match=r"telex.blocking.Hub, also under trio"):
        opening.send(None)


def eager(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Future[Any]:
    """A task factory that runs the first step at once, as `asyncio.eager_task_factory` of Python 3.12 does."""
    if sys.version_info >= (3, 12):
        return asyncio.eager_task_factory(loop, work, **options)
    raise AssertionError("telex asks no task factory")


async def test_a_task_factory_changes_nothing() -> None:
    async def add(number: int) -> int:
        return number + 1

    hub = telex.Hub(close_timeout=5)
    hub.on("t", group="g", run_in="loop")(add)
    hub.on("t", run_in="loop")(add)
    hub.command("add", run_in="loop")(add)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(eager)
    try:
        async with hub:
            for number in range(5):
                await hub.topic("t").publish(number)
            await idle()
            assert await hub.call("add", 1) == 2
            assert (await hub.groups.list())[0].lag == 0
    finally:
        loop.set_task_factory(None)


class SlowPool(ProcessPool):
    """Processes that take long to end."""

    async def close(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 60)
        await super().close()


def test_processes_that_end_slowly_are_not_taken_for_an_engine_that_does_not_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = VirtualClock()
    begin = clock()

    async def main() -> None:
        hub = telex.Hub(clock=clock)
        runtime_of(hub).processes = SlowPool(1, lambda: None)
        async with hub:
            pass

    clock.run(main())
    assert clock() - begin >= 60
    assert "the engine does not answer" not in caplog.text


async def test_a_hub_that_fails_to_open_leaves_no_thread() -> None:
    async def lifespan(hub: telex.Hub) -> AsyncIterator[None]:
        await hub.schedules.add("n", "0 9 * * *", topic="x", tz="Europe/Berlin")  # a thread loads the time zone
        raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="no database"):
        await telex.Hub(lifespan=lifespan).__aenter__()
    # a thread that is left fails every test, see `tests/conftest.py`
