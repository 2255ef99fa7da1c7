"""Commands that are begun in the turn of who asks for them, on the event loops that there are: nobody can tell."""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest

import telex
from telex.commands.transports.local import MAX_UNSERVED_COMMANDS
from tests.support.internals import transport_of
from tests.support.loops import idle

pytestmark = pytest.mark.every_loop
Handler = Callable[[str], Awaitable[object]]
told: contextvars.ContextVar[str] = contextvars.ContextVar("told", default="nothing")


def serving(function: Handler) -> telex.Hub:
    """A hub with that command, ``work``, of which "warm" is done at once."""
    hub = telex.Hub()

    @hub.command("work", concurrency=600)
    async def work(content: str) -> object:
        return "warm" if content == "warm" else await function(content)

    return hub


def here() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task


class Other:
    """Another task, that counts its turns."""

    def __init__(self) -> None:
        self._turns = 0
        self._task = asyncio.create_task(self._count())

    async def _count(self) -> None:
        while True:
            self._turns += 1
            await asyncio.sleep(0)

    async def end(self) -> int:
        turns = self._turns
        self._task.cancel()
        await asyncio.wait((self._task,))
        return turns


async def test_a_handler_that_never_waits_is_done_in_that_turn() -> None:
    if sys.version_info < (3, 12):
        return  # it has no eager tasks
    turns = 0

    async def work(content: str) -> object:
        return turns

    async with serving(work) as hub:

        def count() -> None:
            nonlocal turns
            turns += 1

        turn = transport_of(hub).turn
        asyncio.get_running_loop().call_soon(count)
        turn.begin()  # however slow this machine is
        assert await hub.call("work", "") == 0
        turn.begin()
        assert await hub.call("work", "", timeout=5) == 0


async def test_the_current_task_is_the_one_that_carries_it_out() -> None:
    async def work(content: str) -> object:
        found = [here()]
        for _ in range(3):
            await asyncio.sleep(0)
            found.append(here())
        return found

    async with serving(work) as hub:
        mine = here()
        found = await hub.call("work", "")
        assert here() is mine
        assert isinstance(found, list)
        assert len(set(found)) == 1
        assert mine not in found


async def test_cancelling_the_caller_does_not_cancel_the_command() -> None:
    reached, opened, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(content: str) -> object:
        reached.set()
        await opened.wait()
        done.set()
        return None

    async with serving(work) as hub:
        asker = asyncio.create_task(hub.call("work", ""))
        await reached.wait()
        asker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asker
        opened.set()
        await done.wait()


async def test_a_timeout_within_it_is_its_own() -> None:
    async def work(content: str) -> object:
        try:
            async with asyncio.timeout(float(content)):
                await asyncio.Event().wait()
        except TimeoutError:
            return "too late"
        return None

    async with serving(work) as hub:
        assert await hub.call("work", "0") == "too late"
        assert await hub.call("work", "0.01") == "too late"
        assert not here().cancelling()
        assert await hub.call("work", "warm") == "warm"


@pytest.mark.parametrize("waits", [0, 1, 2])
async def test_an_error_of_the_handler_is_its_outcome(waits: int, caplog: pytest.LogCaptureFixture) -> None:
    async def work(content: str) -> object:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise ValueError(content)

    async with serving(work) as hub:
        with pytest.raises(telex.CommandFailed, match="no"):
            await hub.call("work", "no")
        assert await hub.call("work", "warm") == "warm"
    assert "command work raised" in caplog.text


async def test_the_first_awaited_object_may_fail() -> None:
    async def work(content: str) -> object:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError(content))
        try:
            await future
        except KeyError as error:
            await asyncio.sleep(0)
            return error.args[0]
        return None

    async with serving(work) as hub:
        assert await hub.call("work", "key") == "key"


@pytest.mark.parametrize("waits", [False, True])
async def test_one_that_cancels_its_own_task(waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def work(content: str) -> object:
        here().cancel()
        if waits:
            await asyncio.sleep(0)
        return content

    async with serving(work) as hub:
        if waits:
            with pytest.raises(telex.CommandFailed):
                await hub.call("work", "done")
        else:
            assert await hub.call("work", "done") == "done"
        assert await (await hub.send("work", "warm")) == "warm"
        for _ in range(3):
            assert await hub.call("work", "warm") == "warm"
        assert hub.statistics().commands[0].running == 0
        assert not here().cancelling()


async def test_one_that_cancels_its_own_task_and_ends_by_that(caplog: pytest.LogCaptureFixture) -> None:
    async def work(content: str) -> object:
        here().cancel()
        raise asyncio.CancelledError

    async with serving(work) as hub:
        with pytest.raises(telex.CommandFailed):
            await hub.call("work", "")
        assert await hub.call("work", "warm") == "warm"
    assert "was cancelled by its handler" in caplog.text


async def test_context_variables_are_its_own() -> None:
    async def work(content: str) -> object:
        before = told.get()
        told.set(content)
        await asyncio.sleep(0)
        return before, told.get()

    async with serving(work) as hub:
        told.set("asked")
        assert await hub.call("work", "a") == ("nothing", "a")
        assert told.get() == "asked"


async def test_commands_that_call_one_another_are_not_one_within_the_other() -> None:
    depths: list[int] = []

    async def work(content: str) -> object:
        frame, depth = inspect.currentframe(), 0
        while frame is not None:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        return 0 if content == "0" else 1 + int(str(await hub.call("work", str(int(content) - 1))))

    async with serving(work) as hub:
        assert await hub.call("work", "50") == 50
    assert max(depths) < 60


async def test_a_task_that_is_cancelled_while_it_waits_for_a_command_is_given_none() -> None:
    async def work(content: str) -> object:
        return here()

    async with serving(work) as hub:
        task = await hub.call("work", "")
        assert isinstance(task, asyncio.Task)
        task.cancel()
        await asyncio.wait((task,))
        assert await hub.call("work", "") is not task
        assert await hub.call("work", "warm") == "warm"


@pytest.mark.slow
async def test_a_task_that_calls_again_and_again_lets_others_run() -> None:
    async def work(content: str) -> object:
        return None

    async with serving(work) as hub:
        other = Other()
        for _ in range(641):
            await hub.call("work", "")
        assert await other.end() >= 10


@pytest.mark.parametrize("waits_for", ["a task", "a future", "a turn", "what is shielded"])
async def test_cancelled_before_its_own_task_has_gone_on_with_it(waits_for: str) -> None:
    """Cancelled in the turn in which it was begun it hears of it as in any other, and so does what it waits for."""
    hub, reached, ended = telex.Hub(), asyncio.Event(), asyncio.Event()
    child = asyncio.create_task(asyncio.Event().wait())

    @hub.command("once", once=True)
    async def once(content: str) -> None:
        if content == "warm":
            return
        reached.set()
        try:
            if waits_for == "a task":
                await child
            elif waits_for == "a future":
                await asyncio.get_running_loop().create_future()
            elif waits_for == "what is shielded":
                await asyncio.shield(child)
            while True:  # noqa: ASYNC110  # there is nothing else that it waits for
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            ended.set()
            raise

    async with hub:
        asker = asyncio.create_task(hub.call("once", "", key="k"))
        await reached.wait()
        ticket = await hub.send("once", "", key="k")
        assert await ticket.cancel()
        for each in (asker, ticket):
            with pytest.raises(telex.CommandFailed, match="cancelled"):
                await each
        assert ended.is_set()
        assert child.cancelled() is (waits_for == "a task")
        assert await hub.call("once", "warm", key="other") is None
    child.cancel()
    await asyncio.wait((child,))


@pytest.mark.parametrize("timeout", [0.0, 10.0])
async def test_the_hub_closes_before_its_own_task_has_gone_on_with_it(
    timeout: float,
) -> None:
    reached, ended = asyncio.Event(), list[str]()

    async def work(content: str) -> object:
        reached.set()
        try:
            await asyncio.sleep(0)
            if not timeout:
                await asyncio.Event().wait()
        finally:
            ended.append(content)
        return "done"

    hub = serving(work)
    hub.close_timeout = timeout
    await hub.__aenter__()
    asker = asyncio.create_task(hub.call("work", "a"))
    await reached.wait()
    await hub.aclose()
    if timeout:
        assert await asker == "done"
    else:
        with pytest.raises(telex.Closed):
            await asker
    assert ended == ["a"]


async def test_a_command_sent_meanwhile_for_one_runner_comes_after() -> None:
    hub, order = telex.Hub(), list[int]()

    @hub.command("count", concurrency=1)
    async def count(number: int) -> int:
        if number == 1:
            for each in (2, 3):
                await hub.send("count", each)
        order.append(number)
        return number

    async with hub:
        await hub.call("count", 0)
        assert await hub.call("count", 1) == 1
        assert await hub.call("count", 4) == 4
    assert order == [0, 1, 2, 3, 4]


# -- what must not be left of what others have done


async def test_commands_behind_a_task_that_its_own_command_cancelled_are_carried_out() -> None:
    hub = telex.Hub()
    sent: list[telex.Ticket[str]] = []

    @hub.command("work", concurrency=1)
    async def work(content: str) -> str:
        if content == "ends":
            sent.append(await hub.send("work", "waits"))
            here().cancel()
        else:
            await asyncio.sleep(0)
        return content

    async with hub:
        for _ in range(3):
            assert await hub.call("work", "ends") == "ends"
            assert await sent.pop().result(timeout=5) == "waits"
            assert await hub.call("work", "after") == "after"


async def test_a_task_that_was_cancelled_and_not_after_all() -> None:
    async def work(content: str) -> object:
        if content == "changes its mind":
            here().cancel()
            here().uncancel()
        elif content == "waits":
            await asyncio.sleep(0)
        return content

    async with serving(work) as hub:
        for content in ("changes its mind", "waits", "changes its mind", "warm", "waits"):
            assert await hub.call("work", content, timeout=5) == content
        for content in ("changes its mind", "waits", "changes its mind", "warm", "waits"):
            ticket = await hub.send("work", content)
            assert await ticket.result(timeout=5) == content


async def test_a_coroutine_that_no_task_drives() -> None:
    async def work(content: str) -> object:
        return content

    async with serving(work) as hub:
        calling = asyncio.get_running_loop().create_future()

        def drive() -> None:
            coroutine = hub.call("work", "a")
            with contextlib.suppress(StopIteration):  # with eager tasks it has its answer in this turn
                coroutine.send(None)
            calling.set_result(coroutine)

        asyncio.get_running_loop().call_soon(drive)
        (await calling).close()
        assert await hub.call("work", "b", timeout=5) == "b"


async def test_in_another_thread_it_is_refused() -> None:
    async def work(content: str) -> object:
        return content

    async with serving(work) as hub:
        with pytest.raises(telex.WrongThread, match="send the command 'work' from here"):
            await asyncio.to_thread(lambda: asyncio.run(hub.call("work", "a")))
        assert await hub.call("work", "b", timeout=5) == "b"


async def test_with_a_task_factory_that_knows_of_no_contexts() -> None:
    async def work(content: str) -> object:
        await asyncio.sleep(0)
        return told.get()

    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.BaseEventLoop):
        return  # uvloop has no such factories
    loop.set_task_factory(lambda loop, coroutine: asyncio.Task(coroutine, loop=loop))
    try:
        async with serving(work) as hub:
            told.set("asked")
            for _ in range(2):
                assert await hub.call("work", "a", timeout=5) == "nothing"
    finally:
        loop.set_task_factory(None)


async def test_a_task_that_asks_for_a_done_result_again_and_again_lets_others_run() -> None:
    hub = telex.Hub()

    @hub.command("once", once=True)
    async def once(content: str) -> str:
        return content

    async with hub:
        await hub.call("once", "a", key="k")
        other = Other()
        for _ in range(641):
            await hub.call("once", "a", key="k")
        assert await other.end() >= 10


@pytest.mark.parametrize("which", ["note", "work"])
async def test_a_handler_that_the_closing_hub_cancelled_can_send_nothing_more(which: str) -> None:
    hub, refused = telex.Hub(close_timeout=0), list[str]()
    reached = asyncio.Event()

    @hub.command("note", concurrency=1)
    async def note(content: str) -> None:
        if content != "first":
            await asyncio.Event().wait()

    @hub.command("work")
    async def work(content: str) -> None:
        try:
            reached.set()
            await asyncio.Event().wait()
        finally:
            try:
                await hub.call(which, content)
            except telex.Closed as error:
                refused.append(str(error))

    async with hub:
        await hub.call("note", "first")
        asker = asyncio.create_task(hub.call("work", "last"))
        await reached.wait()
    with pytest.raises(telex.Closed):
        await asker
    assert len(refused) == 1
    assert "begins no more calls" in refused[0]


async def test_several_wait_for_the_same_as_one_is_begun() -> None:
    shared = asyncio.get_running_loop().create_future()

    async def work(content: str) -> object:
        return await shared

    async with serving(work) as hub:
        asker = asyncio.create_task(hub.call("work", "a"))
        others = [asyncio.create_task(waiting(shared)) for _ in range(2)]  # before the runner goes on
        await idle()
        shared.set_result("done")
        assert await asyncio.gather(asker, *others) == ["done"] * 3


async def waiting(future: "asyncio.Future[str]") -> str:
    return await future


class Ends(BaseException):
    pass


async def test_an_exit_reaches_the_loop_and_leaves_all_in_order() -> None:
    loop = asyncio.get_running_loop()

    async def work(content: str) -> object:
        raise Ends

    async with serving(work) as hub:
        complaints: list[object] = []
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda loop, context: complaints.append(context["exception"]))
        with pytest.raises(telex.CommandFailed, match="Ends"):
            await hub.call("work", "a")
        assert await hub.call("work", "warm") == "warm"
        assert hub.statistics().commands[0].running == 0
    gc.collect()
    loop.set_exception_handler(handler)
    assert [type(each) for each in complaints] == [Ends]


async def test_a_task_that_calls_long_commands_lets_others_run() -> None:
    async def work(content: str) -> object:
        end = time.monotonic() + 0.004
        while time.monotonic() < end:
            pass
        return None

    async with serving(work) as hub:
        other = Other()
        for _ in range(20):
            await hub.call("work", "")
        assert await other.end() >= 8


async def test_commands_are_begun_in_the_order_in_which_they_were_accepted() -> None:
    begun: list[str] = []

    async def work(content: str) -> object:
        begun.append(content)
        if content == "0":
            await asyncio.sleep(0)
        return None

    async with serving(work) as hub:
        for _ in range(3):
            await hub.call("work", "0")
            tickets = [await hub.send("work", content) for content in "123"]
            await hub.call("work", "4")
            await asyncio.gather(*tickets)
            assert begun == ["0", "1", "2", "3", "4"]
            begun.clear()
            assert transport_of(hub).turn.scheduled == 0


@pytest.mark.slow
async def test_a_late_exit_reaches_all_waiting_callers() -> None:
    hub, loop = telex.Hub(), asyncio.get_running_loop()

    @hub.command("once", once=True, lease=0.2)
    async def once(content: str) -> None:
        await asyncio.sleep(0)
        raise Ends

    async with hub:
        complaints: list[object] = []
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda loop, context: complaints.append(context["exception"]))
        tickets = [await hub.send("once", "", key="k") for _ in range(2)]
        for ticket in tickets:
            with pytest.raises(telex.CommandFailed):
                await ticket.result(timeout=20)
        assert hub.statistics().commands[0].running == 0
    gc.collect()
    loop.set_exception_handler(handler)


async def test_commands_that_wait_for_a_handler_are_bounded() -> None:
    async with telex.Hub() as hub:
        for number in range(MAX_UNSERVED_COMMANDS):
            await hub.send("later", number)
        with pytest.raises(telex.WouldBlock, match="wait for a handler"):
            await hub.send("later", MAX_UNSERVED_COMMANDS)
        await hub.send("another", 1)  # each command has its own


class Item(msgspec.Struct):
    n: int


async def test_content_sent_before_the_declaration_is_held_to_its_type() -> None:
    async with telex.Hub() as hub:
        tickets = [await hub.send("take", {"n": n}, key="a") for n in (1, 1, 2)]
        wrong = await hub.send("take", {"m": 1}, key="b")
        seen = []

        @hub.command("take", once=True)
        async def take(item: Item) -> int:
            seen.append(item)
            return item.n

        assert [await tickets[0], await tickets[1]] == [1, 1]
        with pytest.raises(telex.KeyConflict):
            await tickets[2]
        with pytest.raises(telex.CommandFailed, match="missing required field `n`"):
            await wrong
        assert seen == [Item(1)]
        assert await hub.call("take", {"n": 1}, key="a") == 1
