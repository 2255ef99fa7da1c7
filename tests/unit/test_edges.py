"""Edges of the kernel, of handlers and of what is about them, one each; `tests/mutants/hand.py` names the bug."""

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import telex
import telex.blocking
from telex.log.log import Log, Retention
from telex.process.waiters import Notifier, Waiter, park, wake_all
from tests.support.internals import engine_transaction_of, records_of
from tests.support.loops import idle
from tests.support.pretend import PretendEngine, PretendStore, Server
from tests.support.shell import Clock, in_a_thread


def is_struct(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, msgspec.Struct)


@pytest.mark.parametrize("subscribed", ["a:1", "a:*"])
async def test_a_full_blocking_subscriber_is_closed_when_another_process_publishes(subscribed: str) -> None:
    server = Server()
    async with (
        telex.Hub(PretendEngine(server)) as other,
        telex.Hub(PretendEngine(server)) as hub,
        hub.topic(subscribed).subscribe(overflow="block", buffer=2) as inbox,
    ):
        for number in range(5):
            await other.topic("a:1").publish(number)
        await idle()
        assert inbox.waiting == 2
        assert [inbox.receive_nowait().content for _ in range(2)] == [0, 1]
        with pytest.raises(telex.SlowSubscriber):
            inbox.receive_nowait()


async def test_a_task_that_ends_the_program_leaves_no_sleeper_asleep() -> None:
    loop, woken = asyncio.get_running_loop(), list[int]()
    waiters = [Waiter(loop) for _ in range(3)]

    async def sleep(number: int) -> None:
        await waiters[number]
        woken.append(number)

    def exit(waiter: Waiter) -> None:
        raise SystemExit(3)

    tasks = [asyncio.create_task(sleep(number)) for number in (1, 2)]
    await idle()
    waiters[0].add_done_callback(exit, context=contextvars.copy_context())
    # Called from no task, as the loop does it.
    raised = loop.create_future()

    def wake() -> None:
        try:
            wake_all(waiters)
        except SystemExit as error:
            raised.set_result(error.code)

    loop.call_soon(wake)
    assert await raised == 3
    await idle()
    done = [task.done() for task in tasks]
    for task in tasks:
        task.cancel()
    assert done == [True, True]
    assert woken == [1, 2]


async def test_losses_of_a_handler_are_counted_over_a_removal() -> None:
    hub, go_on = telex.Hub(), asyncio.Event()

    @hub.on("a", buffer=2, overflow="drop_newest")
    async def slow(content: int) -> None:
        await go_on.wait()

    async with hub:
        for number in range(11):
            await hub.topic("a").publish(number)
        await idle()
        (before,) = hub.statistics().handlers
        await hub.remove("a")
        go_on.set()
        await idle()
        await hub.topic("a").publish("in the next epoch")
        await idle()
        (after,) = hub.statistics().handlers
        assert before.lost == after.lost > 0
        assert after.handled + after.lost == 12


async def test_a_record_that_was_changed_meanwhile_fails_the_transaction_in_memory() -> None:
    async with telex.Hub() as hub:
        records = records_of(hub)
        assert records is not None
        revision = await records.put("b", "k", b"0", 0)
        assert revision is not None
        tx = await hub.transaction().__aenter__()
        assert await engine_transaction_of(tx).put("b", "k", b"mine", revision) is not None
        await tx.publish("t", 1)
        assert await records.put("b", "k", b"theirs", revision) is not None
        with pytest.raises(telex.EngineFailed, match="changed meanwhile"):
            await tx.__aexit__(None, None, None)
        found = await records.get("b", "k")
        assert found is not None
        assert found.value == b"theirs"
        assert hub.topic("t").statistics().published == 0


def test_an_interrupted_receive_takes_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with telex.blocking.Hub() as hub, hub.topic("a").subscribe() as inbox:
        ends = threading.Event()
        result = concurrent.futures.Future.result

        def interrupted(future: Any, timeout: float | None = None) -> Any:
            if not ends.is_set():
                ends.set()
                raise KeyboardInterrupt
            return result(future, timeout)

        monkeypatch.setattr(concurrent.futures.Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            inbox.receive(timeout=30)
        monkeypatch.undo()
        hub.topic("a").publish(1)
        assert inbox.receive(timeout=5).content == 1


STRUCTS = [name for name in telex.__all__ if is_struct(getattr(telex, name)) and name != "Message"]


@pytest.mark.parametrize("name", STRUCTS)  # a message is numbered when it is published
def test_public_structs_cannot_be_changed(name: str) -> None:
    assert getattr(telex, name).__struct_config__.frozen


async def test_the_history_of_a_followed_pattern_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[int] = []
    read = PretendStore.read_pattern

    async def counted(self: PretendStore, topics: Sequence[str], count: int) -> Sequence[telex.Message[Any]]:
        reads.append(count)
        return await read(self, topics, count)

    monkeypatch.setattr(PretendStore, "read_pattern", counted)
    server = Server()
    async with telex.Hub(PretendEngine(server)) as other:
        await other.topic("a:1").publish(1)
    async with telex.Hub(PretendEngine(server)) as hub, hub.topic("a:*").subscribe():
        for _ in range(3):
            assert [message.content async for message in hub.topic("a:*").history()] == [1]
    assert len(reads) == 1


@pytest.mark.parametrize("keeps", [1000, 4, 0])
async def test_the_newest_of_each_key_is_known_from_what_the_store_keeps(keeps: int) -> None:
    server = Server()
    async with telex.Hub(PretendEngine(server)) as other:
        other.retain("a", messages=keeps)
        for number in range(10):
            await other.topic("a").publish(number, key=str(number % 3))
    async with telex.Hub(PretendEngine(server)) as hub:
        async with asyncio.timeout(10):
            options: Any = {"overflow": "latest", "key": lambda message: message.key, "start": "earliest"}
            async with hub.topic("a").subscribe(**options) as inbox:
                assert [inbox.receive_nowait().content for _ in range(inbox.waiting)] == ([7, 8, 9] if keeps else [])


@pytest.mark.parametrize("start", ["earliest", timedelta(hours=1), 100, datetime(2020, 1, 1, tzinfo=UTC)])
async def test_only_after_a_position_history_tells_what_is_gone(start: Any) -> None:
    async with telex.Hub(PretendEngine(Server())) as hub:
        topic = hub.topic("a")
        hub.retain("a", messages=2)
        begin = await topic.position()
        for number in range(5):
            await topic.publish(number)
        assert [message.content async for message in topic.history(start=start)] == [3, 4]
        lost, *rest = [message async for message in topic.history(start=begin)]
        assert isinstance(lost, telex.Lost)
        assert (lost.count, len(rest)) == (3, 2)


async def test_a_topic_is_published_to_in_the_loop_of_its_hub() -> None:
    async with telex.Hub(PretendEngine(Server())) as hub:
        topic = hub.topic("a")

        def publish() -> str:
            with pytest.raises(telex.WrongThread):
                topic.publish(1).send(None)
            return "refused"

        assert in_a_thread(publish) == "refused"
        assert (await topic.publish(1)).seq == 1


async def test_a_group_takes_few_turns_for_many_messages() -> None:
    hub, handled, turns = telex.Hub("memory://"), list[int](), 0

    @hub.on("a", group="g")
    def handle(content: int) -> None:
        handled.append(turns)

    async with hub:
        await idle()
        for number in range(50):
            hub.topic("a").publish_nowait(number)
        while len(handled) < 50:
            turns += 1
            await asyncio.sleep(0)
    assert handled[-1] - handled[0] < 10


async def test_a_reader_of_a_log_waits_as_long_as_its_timeout() -> None:
    clock = Clock()
    log = Log("a", "epoch", Retention(), 1)
    log.observer = Notifier()
    waiting = asyncio.ensure_future(park(log, 10.0))
    await clock.forward(9.9)
    assert not waiting.done()
    await clock.forward(0.2)
    assert await waiting is False
    gone = asyncio.ensure_future(park(log, -1.0))
    await clock.forward(0)
    assert await gone is False
