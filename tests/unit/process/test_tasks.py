"""Tasks start the same with every task factory, and one that code of the program cancelled is known."""

import asyncio
import contextvars
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from telex.process.tasks import LastingTask, start_task, start_task_at_once

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


@contextmanager
def eager_factory() -> Iterator[None]:
    """A task factory that runs the first step of a task at once, on Pythons that have one."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    try:
        yield
    finally:
        loop.set_task_factory(None)


async def test_a_task_starts_in_the_next_turn_whatever_the_task_factory() -> None:
    steps: list[str] = []

    async def work() -> int:
        steps.append("works")
        return 7

    with eager_factory():
        task = start_task(work(), name="telex works")
        steps.append("started")
        assert await task == 7
    assert steps == ["started", "works"]
    assert task.get_name() == "telex works"


async def test_a_task_has_a_copy_of_the_context_or_the_one_it_is_given() -> None:
    async def rename(to: str) -> str:
        before = name.get()
        name.set(to)
        return before

    name.set("caller")
    assert await start_task(rename("task"), name="copy") == "caller"
    assert name.get() == "caller"
    context = contextvars.Context()
    assert await start_task(rename("task"), name="given", context=context) == "nobody"
    assert context[name] == "task"


async def test_a_task_may_run_at_once_until_it_waits() -> None:
    steps: list[str] = []
    context = contextvars.Context()

    async def work() -> str:
        steps.append("works")
        name.set("task")
        await asyncio.sleep(0)
        return name.get()

    task = start_task_at_once(work(), name="eager", context=context)
    steps.append("started")
    assert await task == "task"
    assert steps == (["works", "started"] if sys.version_info >= (3, 12) else ["started", "works"])
    assert (task.get_name(), name.get(), context[name]) == ("eager", "nobody", "task")


async def ends(how: str) -> None:
    if how == "raises":
        raise ValueError("mine")
    if how == "waits":
        await asyncio.Event().wait()


@pytest.mark.parametrize(("how", "failed"), [("returns", False), ("raises", True), ("waits", True)])
async def test_a_lasting_task_has_failed_unless_it_returned(how: str, failed: bool) -> None:
    task = LastingTask(ends(how), loop=asyncio.get_running_loop())
    await asyncio.sleep(0)
    if how == "waits":
        task.cancel()
    await asyncio.wait([task])
    assert task.failed is failed
    assert (type(task.error) is ValueError) is (how == "raises")
    assert how == "raises" or task.error is None
    assert not task.over, "its loop runs"


def test_a_lasting_task_that_is_cancelled_while_its_loop_stands_still_is_over() -> None:
    loop = asyncio.new_event_loop()
    try:
        task = LastingTask(ends("waits"), loop=loop)
        loop.run_until_complete(asyncio.sleep(0))
        assert task.cancel()
        assert task.over
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    finally:
        loop.close()
