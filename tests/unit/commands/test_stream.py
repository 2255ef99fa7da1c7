"""A command that yields, for its readers: every part in order, the end, errors, leaving and coming back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

import telex
from telex.commands.streaming import stream_topic
from telex.testing.clock import VirtualClock
from tests.support.loops import idle
from tests.unit.commands.parts import Gate


def declare(hub: telex.Hub, gate: Gate | None = None) -> None:
    @hub.command("count")
    async def count(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            if gate is not None and number == 2:
                await gate.pass_through()
            yield number
        if upto > 100:
            raise telex.CommandError("too many", code="too_many")


async def contents(stream: telex.Stream[Any]) -> list[Any]:
    return [part.content async for part in stream]


async def test_every_part_comes_in_order_and_the_result_is_their_number(url: str) -> None:
    async with telex.Hub(url) as hub:
        declare(hub)
        stream = hub.stream("count", 50, type=int)
        assert await contents(stream) == list(range(50))
        assert stream.ended
        assert stream.ticket is not None
        assert await stream.ticket == 50
        assert await contents(stream) == []
        assert await contents(hub.stream("count", 0)) == []
        assert hub.statistics().subscribers <= 3  # those of the worker


async def test_parts_come_while_the_command_runs(url: str, gate: Gate) -> None:
    async with telex.Hub(url) as hub:
        declare(hub, gate)
        async with aclosing(hub.stream("count", 4).__aiter__()) as parts:
            assert [(await anext(parts)).content for _ in range(2)] == [0, 1]
            assert gate.passed == 0
            gate.opened.set()
            assert [part.content async for part in parts] == [2, 3]


async def test_a_reader_that_leaves_continues_after_its_last_part(url: str) -> None:
    async with telex.Hub(url) as hub:
        declare(hub)
        stream = hub.stream("count", 10)
        first = []
        async with aclosing(stream.__aiter__()) as parts:
            async for part in parts:
                first.append(part)
                if len(first) == 4:
                    break
        assert stream.position is not None
        assert not stream.ended
        assert await contents(stream) == list(range(4, 10))


async def test_a_stream_has_one_reader_at_a_time_and_sends_its_command_once(url: str, gate: Gate) -> None:
    async with telex.Hub(url) as hub:
        declare(hub, gate)
        stream = hub.stream("count", 4)
        readers = [asyncio.ensure_future(contents(stream)) for _ in range(2)]
        await gate.reached.wait()
        await idle()
        gate.opened.set()
        found = await asyncio.gather(*readers, return_exceptions=True)
        (refused,) = [each for each in found if isinstance(each, telex.Misuse)]
        assert "other readers subscribe to the topic of its parts" in str(refused)
        (parts,) = [each for each in found if each is not refused]
        assert parts == [0, 1, 2, 3]
        await hub.idle()
        assert hub.statistics().commands[0].executed == 1


async def test_another_program_reads_the_parts_from_a_position(file: str) -> None:
    async with telex.Hub(file) as worker, telex.Hub(file) as page:
        declare(worker)
        stream = worker.stream("count", 5)
        async for part in stream:
            if part.content == 1:
                break
        assert stream.ticket is not None
        topic = page.topic(stream_topic("count", stream.ticket.id))
        async with topic.subscribe(start=stream.position or "new") as inbox:
            rest = [await inbox.receive(timeout=20) for _ in range(4)]
        found = [(each.content, each.headers["telex-part"]) for each in rest if isinstance(each, telex.Message)]
        assert found == [(2, "part"), (3, "part"), (4, "part"), (None, "end")]


async def test_the_error_of_the_function_is_raised_after_the_parts(url: str) -> None:
    async with telex.Hub(url) as hub:
        declare(hub)
        stream = hub.stream("count", 101)
        with pytest.raises(telex.CommandFailed, match="too many") as failed:
            await contents(stream)
        assert failed.value.code == "too_many"
        assert stream.ticket is not None
        topic = hub.topic(stream_topic("count", stream.ticket.id))
        *parts, end = [each async for each in topic.history()]
        assert len(parts) == 101
        assert end.content == {"type": "CommandError", "code": "too_many", "message": "too many"}


async def test_a_command_that_is_refused_ends_its_stream_with_the_error(url: str) -> None:
    async with telex.Hub(url) as hub:
        declare(hub)
        with pytest.raises(telex.NoHandler):
            await contents(hub.stream("nobody"))
        with pytest.raises((telex.ContentError, telex.CommandFailed)):
            await contents(hub.stream("count", "many"))


async def test_cancelling_ends_the_function_and_the_stream(url: str, gate: Gate) -> None:
    async with telex.Hub(url) as hub:
        declare(hub, gate)
        stream = hub.stream("count", 4)
        assert not await stream.cancel()  # nothing is sent yet
        reading = asyncio.create_task(contents(stream))
        await gate.reached.wait()
        assert await stream.cancel()
        with pytest.raises(telex.CommandFailed) as failed:
            await reading
        assert failed.value.code == "cancelled"


async def test_closing_the_hub_ends_a_waiting_reader(gate: Gate) -> None:
    async with telex.Hub(close_timeout=0) as hub:
        declare(hub, gate)
        reading = asyncio.create_task(contents(hub.stream("count", 4)))
        await gate.reached.wait()
        await idle()
    with pytest.raises(telex.TelexError):
        await reading


async def test_a_reader_that_goes_on_after_the_hub_has_closed_leaves_no_task(gate: Gate) -> None:
    hub = telex.Hub(close_timeout=0.01)
    async with hub:
        declare(hub, gate)
        parts = hub.stream("count", 4).__aiter__()
        assert [(await anext(parts)).content for _ in range(2)] == [0, 1]
        tasks = asyncio.all_tasks()
    with pytest.raises(telex.Closed):
        await anext(parts)
    assert asyncio.all_tasks() <= tasks


async def test_a_part_of_another_type_fails_the_command(url: str) -> None:
    async with telex.Hub(url) as hub:

        @hub.command("wrong")
        async def wrong() -> AsyncIterator[int]:
            yield "one"  # type: ignore[misc]  # the mistake

        with pytest.raises(telex.CommandFailed, match="int"):
            await contents(hub.stream("wrong"))


async def test_parts_that_are_no_longer_kept_are_an_error_and_no_silent_loss(gate: Gate) -> None:
    async with telex.Hub() as hub:
        declare(hub, gate)
        hub.retain("$stream:>", messages=3)
        stream = hub.stream("count", 10)
        async for _part in stream:
            break
        assert stream.ticket is not None
        gate.opened.set()
        await stream.ticket
        with pytest.raises(telex.PartsLost, match="'count' are no longer kept"):
            await contents(stream)


def test_a_command_that_does_not_yield_cannot_be_streamed() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:

            @hub.command("one")
            async def one() -> int:
                return 1

            with pytest.raises(telex.Misuse, match="its function does not yield"):
                await contents(hub.stream("one"))

    clock.run(main())


def test_a_stream_without_asyncio() -> None:
    hub = telex.blocking.Hub()

    @hub.command("count")
    async def count(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    with hub:
        stream = hub.stream("count", 3, type=int)
        assert [part.content for part in stream] == [0, 1, 2]
        assert stream.ended
        assert stream.ticket is not None
        assert stream.ticket.result(timeout=5) == 3
        for _part in hub.stream("count", 3):
            break


def test_functions_that_cannot_stream_are_refused_where_it_is_declared() -> None:
    router = telex.Router()
    with pytest.raises(telex.BadHandler, match="write `async def` with yield"):

        @router.command("plain", run_in="loop")
        def plain() -> Any:
            yield 1

    with pytest.raises(telex.BadHandler, match="leave out once"):

        @router.command("once", once=True)
        async def once() -> AsyncIterator[int]:
            yield 1

    with pytest.raises(telex.BadHandler):

        @router.on("orders")
        async def handler(content: int) -> AsyncIterator[int]:
            yield content
