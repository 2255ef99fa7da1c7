"""The worker of a command that yields: its topic, its pace, and the end of old streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

import telex
from telex.commands.streaming import KEEP_SECONDS, MAX_STORING, stream_topic
from telex.hub import runtime_of
from telex.testing.clock import VirtualClock
from tests.support.loops import idle


def test_a_stream_is_removed_an_hour_after_its_end() -> None:
    clock = VirtualClock()

    async def main() -> None:
        hub = telex.Hub(clock=clock)

        @hub.command("count")
        async def count() -> AsyncIterator[int]:
            yield 1

        async def run() -> str:
            stream = hub.stream("count")
            async for _part in stream:
                pass
            assert stream.ticket is not None
            return stream_topic("count", stream.ticket.id)

        async with hub:
            first = await run()
            clock.advance(KEEP_SECONDS - 1)
            second = await run()
            assert await hub.topics("$stream:>") == sorted([first, second])
            clock.advance(2)
            third = await run()
            assert await hub.topics("$stream:>") == sorted([second, third])

    clock.run(main())


def test_streams_of_processes_that_were_killed_are_removed_unless_they_run() -> None:
    clock = VirtualClock()

    async def main() -> None:
        hub = telex.Hub(clock=clock)

        @hub.command("count")
        async def count() -> AsyncIterator[int]:
            yield 1

        async with hub:
            for id, part in (("ended", "end"), ("running", "part")):
                await hub.topic(stream_topic("count", id)).publish(1, headers={"telex-part": part})
            await asyncio.gather(*[hub.call("count") for _ in range(2)])
            clock.advance(KEEP_SECONDS)
            await hub.call("count")
            left = await hub.topics("$stream:count:>")
            assert "$stream:count:running" in left
            assert "$stream:count:ended" not in left

    clock.run(main())


async def test_the_function_waits_when_its_parts_cannot_be_stored() -> None:
    hub, made = telex.Hub(), []

    @hub.command("count")
    async def count(context: telex.CommandContext[None]) -> AsyncIterator[int]:
        for number in range(200):
            made.append(number)
            yield number

    async with hub, hub.topic("$stream:count:*").subscribe(overflow="block", buffer=1) as inbox:
        ticket = await hub.send("count")
        await idle()
        assert MAX_STORING <= len(made) <= MAX_STORING + 2
        got = [(await inbox.receive(timeout=5)).content for _ in range(201)]
        assert got == [*range(200), None]
        assert await ticket == 200


async def test_a_stream_that_is_cancelled_closes_its_generator() -> None:
    hub, ended = telex.Hub(), []

    @hub.command("wait")
    async def wait() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async with hub:
        stream = hub.stream("wait")
        async with aclosing(aiter(stream)) as parts:
            async for _part in parts:
                assert await stream.cancel()
                break
        assert stream.ticket is not None
        assert (await stream.ticket.outcome(timeout=5)).error is not None
        assert ended == [1]


async def test_a_stream_has_its_outcome_when_old_streams_cannot_be_removed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub()

    @hub.command("count")
    async def count() -> AsyncIterator[int]:
        yield 1

    async def fail(pattern: str) -> list[str]:
        raise telex.EngineFailed("listing topics", "the disk is gone")

    monkeypatch.setattr(runtime_of(hub).topics, "names", fail)
    async with hub:
        assert [part.content async for part in hub.stream("count")] == [1]
    assert "old streams of command count are not removed" in caplog.text


async def test_a_stream_that_is_not_begun_ends_with_its_error(file: str) -> None:
    worker = telex.Hub(file)

    @worker.command("count")
    async def count(most: int) -> AsyncIterator[int]:
        yield most

    async with telex.Hub(file) as sender:
        expired, refused, cancelled = [
            await sender.send("count", 1, timeout=0),
            await sender.send("count", "many"),
            await sender.send("count", 1),
        ]
        await cancelled.cancel()
        async with worker:
            for ticket, code in ((expired, "expired"), (refused, "refused"), (cancelled, "cancelled")):
                assert not (await ticket.outcome(timeout=20)).ok
                topic = sender.topic(stream_topic("count", ticket.id))
                (end,) = [message async for message in topic.history(start="earliest")]
                assert isinstance(end, telex.Message)
                assert (end.headers["telex-part"], end.content["code"]) == ("end", code)


async def test_other_programs_get_a_part_as_it_was_at_its_yield(file: str) -> None:
    hub = telex.Hub(file)

    @hub.command("count")
    async def count() -> AsyncIterator[object]:
        state = {"done": 0}
        for state["done"] in range(3):
            yield state

    async with hub, telex.Hub(file) as elsewhere:
        assert [part.content async for part in elsewhere.stream("count")] == [{"done": n} for n in range(3)]


async def test_no_part_comes_after_a_refused_one(file: str, caplog: pytest.LogCaptureFixture) -> None:
    hub, got = telex.Hub(file), []

    @hub.command("count")
    async def count() -> AsyncIterator[object]:
        for part in (1, 2, object(), 4):
            yield part

    async def read() -> None:
        async for part in hub.stream("count"):
            got.append(part.content)  # noqa: PERF401  # the stream raises in the middle

    async with hub:
        with pytest.raises(telex.CommandFailed, match="it has no JSON form"):
            await read()
    assert got == [1, 2]
    assert "command count raised" in caplog.text
