"""Commands, on each engine: sent, called, followed, cancelled, too late, refused."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import AsyncMock

import msgspec
import pytest

import telex
import telex.middleware
from tests.support.internals import transport_of


class Month(msgspec.Struct):
    year: int
    number: int


class Report(msgspec.Struct):
    title: str
    pages: int


class OutOfStock(telex.CommandError):
    code = "out_of_stock"


@dataclass
class Gate:
    """What a handler waits at, and says that it is there."""

    reached: asyncio.Event
    opened: asyncio.Event
    passed: int = 0

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()
        self.passed += 1


@pytest.fixture
def gate() -> Gate:
    return Gate(asyncio.Event(), asyncio.Event())


def logged(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records if record.name.startswith("telex")]


async def test_a_call_gives_the_result(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("report:build")
    async def build(month: Month) -> Report:
        return Report(f"{month.year}-{month.number:02}", 3)

    @hub.command("double")
    def double(number: int) -> int:
        return 2 * number

    @hub.command("nothing")
    async def nothing() -> None: ...

    async with hub:
        assert await hub.call("report:build", Month(2026, 11)) == Report("2026-11", 3)
        assert await hub.call("report:build", {"year": 2026, "number": 1}) == Report("2026-01", 3)
        assert await hub.call("double", 21, timeout=10) == 42
        assert await hub.call("nothing") is None
        ticket = await hub.send("double", 4)
        assert [await ticket, await ticket, await ticket.result(timeout=1)] == [8, 8, 8]
        outcome = await ticket.outcome()
        assert (outcome.result, outcome.error, outcome.attempt, outcome.replayed) == (8, None, 1, False)
        assert outcome.completed_at.tzinfo is not None
        assert ticket.done


async def test_wrong_content_is_refused_before_anything_runs(url: str) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("report:build")
    async def build(month: Month) -> None:
        ran.append(month)

    async with hub:
        for method in (hub.call, hub.send):
            with pytest.raises(telex.ContentError, match=r"\$\.number"):
                await method("report:build", {"year": 2026, "number": "x"})
    assert not ran


async def test_a_result_is_held_to_its_annotation(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("count")
    async def count() -> int:
        return "three"  # type: ignore[return-value]  # on purpose

    async with hub:
        with pytest.raises(telex.CommandFailed, match="Expected `int`") as caught:
            await hub.call("count")
        assert caught.value.code == "result_refused"


async def test_on_a_file_a_result_without_a_json_form_is_a_failure_for_all(file: str) -> None:
    hub = telex.Hub(file)

    @hub.command("bare")
    async def bare() -> Any:
        return {"line": [object()]}

    @hub.command("report")
    async def report() -> Report:
        return Report("november", object())  # type: ignore[arg-type]  # on purpose

    async with hub, telex.Hub(file) as other, hub.follow(">") as follower:
        for sender in (hub, other):
            for name in ("bare", "report"):
                with pytest.raises(
                    telex.CommandFailed, match=r"its result is refused at \$\.\w+(\[0\])?: it has no JSON form"
                ) as caught:
                    await sender.call(name)
                assert caught.value.code == "result_refused"
                heard = await follower.receive(timeout=20)
                assert isinstance(heard, telex.Outcome)
                assert heard.error is not None
                assert heard.error.code == "result_refused"
        assert [each.failed for each in hub.statistics().commands] == [2, 2]


async def test_in_memory_a_result_passes_as_it_is() -> None:
    hub, result = telex.Hub(), object()

    @hub.command("bare")
    async def bare() -> Any:
        return result

    @hub.command("kept", once=True)
    async def kept() -> Any:
        return result

    async with hub:
        assert await hub.call("bare") is result
        with pytest.raises(telex.CommandFailed, match="object has no JSON form"):
            await hub.call("kept", key="a")


async def test_errors_keep_their_type_and_data(url: str, caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(url)

    @hub.command("order")
    async def order(item: str) -> None:
        if item == "lamp":
            raise OutOfStock("no lamps", data={"next": "2026-12-01"})
        raise ZeroDivisionError("by zero")

    async with hub:
        with pytest.raises(telex.CommandFailed) as caught:
            await hub.call("order", "lamp")
        error = caught.value
        assert (error.command, error.type, error.code) == ("order", "OutOfStock", "out_of_stock")
        assert (error.message, error.data, error.replayed) == ("no lamps", {"next": "2026-12-01"}, False)
        assert isinstance(error.__cause__, OutOfStock)
        assert not logged(caplog), "what is raised on purpose is no fault to be logged"
        with pytest.raises(telex.CommandFailed, match="ZeroDivisionError: by zero") as caught:
            await hub.call("order", "sofa")
        assert (caught.value.type, caught.value.code) == ("ZeroDivisionError", "error")
    assert logged(caplog) == [logging.ERROR]


async def test_nobody_serves_it(url: str) -> None:
    async with telex.Hub(url) as hub:
        with pytest.raises(telex.NoHandler, match="nobody serves the command 'report:build'"):
            await hub.call("report:build", 1)
        with pytest.raises(telex.BadName):
            await hub.call("report build", 1)


async def test_a_command_sent_before_its_declaration_is_carried_out(url: str) -> None:
    async with telex.Hub(url) as hub:
        ticket = await hub.send("double", 21)
        assert not ticket.done

        @hub.command("double")
        async def double(number: int) -> int:
            return 2 * number

        assert await ticket == 42
        assert await hub.call("double", 2) == 4, "at once"


def test_mistakes_in_declaring() -> None:
    hub = telex.Hub()

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    with pytest.raises(telex.BadOption, match="double carries it out already"):
        hub.command("double")(lambda number: 3 * number)
    with pytest.raises(telex.BadHandler, match=r"@hub.command\('double'\), not @hub.command"):
        hub.command(double)  # type: ignore[arg-type]  # a name that was forgotten
    with pytest.raises(telex.BadName):
        hub.command("a b")(double)
    with pytest.raises(telex.BadOption, match="only a command with once=True"):
        hub.command("other", keep="1h")(double)
    with pytest.raises(telex.BadOption, match="at least 1"):
        hub.command("other", concurrency=0)(double)
    with pytest.raises(telex.BadOption, match=r"at least 0\.1 s"):
        hub.command("other", lease="1ms")(double)
    with pytest.raises(telex.BadOption, match="longer than the lease"):
        hub.command("other", once=True, lease="1h", keep="1m")(double)

    async def two(one: int, other: int) -> None: ...

    with pytest.raises(telex.BadHandler, match="one content"):
        hub.command("other")(two)

    async def late(content: int, tx: telex.Transaction) -> None: ...

    with pytest.raises(telex.BadHandler, match="once=True"):
        hub.command("other")(late)

    async def yields(content: int):  # type: ignore[no-untyped-def]  # on purpose
        yield 1

    with pytest.raises(telex.BadHandler, match="it yields"):
        hub.command("other")(yields)


async def test_handlers_ask_for_what_they_want(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("one")
    async def one(ctx: telex.CommandContext[int], content: int, of: telex.Hub, message: telex.Message[int]) -> str:
        assert ctx.content == content == message.content
        assert of is hub
        assert ctx.id == message.id
        return f"{ctx.command} {ctx.attempt} {ctx.fence}"

    async with hub:
        assert await hub.call("one", 1) == "one 1 0"


async def test_a_router_has_commands() -> None:
    orders = telex.Router("orders")

    @orders.command("count")
    async def count() -> int:
        return 3

    hub = telex.Hub()
    hub.include_router(orders, "shop")
    async with hub:
        assert await hub.call("shop:orders:count") == 3


async def test_middleware_stands_around(url: str) -> None:
    seen = []

    def watched(next: telex.middleware.Next) -> telex.middleware.Next:
        async def step(message: telex.Message[object]) -> object:
            seen.append(message.content)
            return await next(message)

        return step

    hub = telex.Hub(url, middleware=[watched])

    @hub.command("double")
    def double(number: int) -> int:
        return 2 * number

    async with hub:
        assert await hub.call("double", 21) == 42
    assert seen == [21]


async def test_a_caller_that_stops_waiting_stops_nothing(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("slow")
    async def slow() -> str:
        await gate.pass_through()
        return "done"

    async with hub, hub.follow("slow") as follower:
        first = await hub.send("slow")
        await gate.reached.wait()
        with pytest.raises(telex.Timeout, match="the command 'slow' took longer"):
            await first.result(timeout=0.01)
        assert not first.done
        gate.reached.clear()
        calling = asyncio.create_task(hub.call("slow"))
        await gate.reached.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        gate.opened.set()
        for _ in range(2):
            outcome = await follower.receive(timeout=20)
            assert isinstance(outcome, telex.Outcome)
            assert outcome.result == "done"
    assert gate.passed == 2


async def test_an_outcome_without_a_waiter_is_dropped(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    begun = []

    @hub.command("slow", concurrency=1)
    async def slow(number: int) -> None:
        begun.append(number)
        await gate.pass_through()

    async with hub:
        first = await hub.send("slow", 1)
        await gate.reached.wait()
        late, kept = await hub.send("slow", 2, timeout=0), await hub.send("slow", 3, timeout=60)
        gate.opened.set()
        outcome = await late.outcome(timeout=20)
        assert outcome.error is not None
        assert outcome.error.code == "expired"
        await first
        await kept
        assert hub.statistics().commands[0].expired == 1
    assert begun == [1, 3]


async def test_cancelling(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    begun = []

    @hub.command("slow", concurrency=1)
    async def slow(number: int) -> None:
        begun.append(number)
        await gate.pass_through()

    async with hub:
        running, waiting = await hub.send("slow", 1), await hub.send("slow", 2)
        await gate.reached.wait()
        assert await waiting.cancel()
        assert await running.cancel()
        for ticket in (running, waiting):
            outcome = await ticket.outcome(timeout=20)
            assert outcome.error is not None
            assert outcome.error.code == "cancelled"
        assert not await running.cancel(), "its outcome is there"
        gate.opened.set()
        await (await hub.send("slow", 3))
    assert begun == [1, 3]
    assert gate.passed == 1


async def test_progress_is_seen_by_sender_and_followers(url: str) -> None:
    hub = telex.Hub(url)
    told, go_on = asyncio.Event(), asyncio.Event()

    @hub.command("build")
    async def build(name: str, ctx: telex.CommandContext[str]) -> str:
        ctx.progress(0.4, "reading")
        told.set()
        await go_on.wait()
        return name

    async with hub, hub.follow("build", progress=True) as follower:
        ticket = await hub.send("build", "a")
        seen = []
        async for step in ticket.progress():
            seen.append((step.fraction, step.text))
            go_on.set()
        assert seen == [(0.4, "reading")]
        heard = await follower.receive(timeout=20)
        assert isinstance(heard, telex.Progress)
        assert (heard.command, heard.id, heard.fraction) == ("build", ticket.id, 0.4)
        outcome = await follower.receive(timeout=20)
        assert isinstance(outcome, telex.Outcome)
        assert (outcome.id, outcome.result) == (ticket.id, "a")


async def test_following_many(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("report:build")
    async def build(number: int) -> int:
        return number

    @hub.command("report:send")
    async def send(number: int) -> None:
        raise OutOfStock("no paper")

    @hub.command("else")
    async def other() -> None: ...

    async with hub, hub.follow("report:*") as follower, hub.follow(">") as every:
        await hub.call("report:build", 1)
        await hub.call("else")
        with pytest.raises(telex.CommandFailed):
            await hub.call("report:send", 2)
        heard = [await follower.receive(timeout=20) for _ in range(2)]
        assert [(o.command, o.result if o.error is None else o.error.code) for o in heard] == [  # type: ignore[union-attr]
            ("report:build", 1),
            ("report:send", "out_of_stock"),
        ]
        names = [getattr(await every.receive(timeout=20), "command", None) for _ in range(3)]
        assert names == ["report:build", "else", "report:send"]
        async with hub.follow("report:build", start="earliest") as later:
            assert isinstance(await later.receive(timeout=20), telex.Outcome)


async def test_a_follower_from_a_start_that_is_gone_gets_a_lost(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("double")
    def double(number: int) -> int:
        return 2 * number

    hub.retain("$command:>", messages=2)
    async with hub:
        start = await hub.topic("$command:double:outcome").position()
        for number in range(5):
            await hub.call("double", number)
        async with hub.follow("double", start=start) as follower:
            assert await follower.receive(timeout=5) == telex.Lost(3, 1, 3, "trimmed")
            first = await follower.receive(timeout=5)
            assert isinstance(first, telex.Outcome)
            assert first.result == 6


async def test_internal_topics_are_not_shown_to_patterns(url: str) -> None:
    hub = telex.Hub(url)
    seen = []

    @hub.on(">")
    def every(message: telex.Message[object]) -> None:
        seen.append(message.topic)

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    async with hub:
        await hub.call("double", 1)
        await hub.topic("orders").publish(1)
        assert await hub.topics() == ["orders"]
    assert seen == ["orders"]


async def test_closing_lets_commands_finish(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("slow")
    async def slow() -> str:
        await gate.pass_through()
        return "done"

    async with hub:
        ticket = await hub.send("slow")
        await gate.reached.wait()
        gate.opened.set()
    assert gate.passed == 1
    assert ticket.done
    assert await ticket == "done"
    with pytest.raises(telex.Closed):
        await hub.call("slow")


async def test_closing_does_not_wait_for_ever(url: str, gate: Gate) -> None:
    hub = telex.Hub(url, close_timeout=0.05)

    @hub.command("slow")
    async def slow() -> None:
        await gate.pass_through()

    async with hub:
        ticket = await hub.send("slow")
        await gate.reached.wait()
        waiting = asyncio.create_task(ticket.outcome())
        await asyncio.sleep(0)
    with pytest.raises(telex.Closed, match="before its outcome came"):
        await waiting
    with pytest.raises(telex.Closed):
        await ticket


@pytest.mark.slow
@pytest.mark.parametrize("stalls", [False, True])
async def test_workers_that_are_closed_are_no_attempts_and_those_that_stall_are(file: str, stalls: bool) -> None:
    attempts: list[int] = []

    async def build(number: int, ctx: telex.CommandContext[int]) -> int:
        attempts.append(ctx.attempt)
        if len(attempts) > 5:
            return number
        begun.set()
        await asyncio.Event().wait()
        return 0

    async with telex.Hub(file) as sender:
        ticket = await sender.send("build", 1)
        for _ in range(3 if stalls else 5):
            begun = asyncio.Event()
            worker = telex.Hub(file, close_timeout=0.01)
            worker.command("build")(build)
            async with worker:
                await begun.wait()
                transport = transport_of(worker)
                assert transport is not None
                if stalls:  # what has died counts nothing back
                    transport.worker.spare = AsyncMock()  # on purpose
        worker = telex.Hub(file)
        worker.command("build")(build)
        async with worker:
            outcome = await ticket.outcome(timeout=20)
    if stalls:
        assert outcome.error is not None
        assert outcome.error.code == "attempts_exhausted"
        assert attempts == [1, 2, 3]
    else:
        assert (outcome.result, outcome.error) == (1, None)
        assert attempts == [1, 2, 3, 4, 5, 6]


async def test_workers_share_a_command(file: str, gate: Gate) -> None:
    hubs = [telex.Hub(file) for _ in range(2)]
    begun: list[tuple[int, int]] = []
    both = asyncio.Event()

    for number, hub in enumerate(hubs):

        @hub.command("slow", concurrency=1)
        async def slow(content: int, number: int = number) -> int:
            begun.append((number, content))
            if len(begun) == 2:
                both.set()
            await gate.opened.wait()
            return content

    async with hubs[0], hubs[1], telex.Hub(file) as sender:
        tickets = [await sender.send("slow", n, type=int) for n in range(2)]
        await both.wait()
        assert {worker for worker, _ in begun} == {0, 1}
        gate.opened.set()
        assert [await ticket for ticket in tickets] == [0, 1]
        assert await sender.call("slow", 7) == 7


async def test_a_large_result_reaches_its_sender(file: str) -> None:
    worker = telex.Hub(file)

    @worker.command("large")
    async def large(size: int) -> str:
        return "x" * size

    async with worker, telex.Hub(file) as sender, sender.follow("large") as follower:
        assert await worker.call("large", 600_000) == "x" * 600_000
        assert await sender.call("large", 700_000) == "x" * 700_000
        for size in (600_000, 700_000):
            outcome = await follower.receive(timeout=20)
            assert isinstance(outcome, telex.Outcome)
            assert outcome.result == "x" * size
        async for message in worker.topic("$command:large:outcome").history():
            assert message.size < 1000, "what is sent about names the record that has it"


async def until_nobody_serves(sender: telex.Hub) -> None:
    while True:  # what was read a moment ago may still be believed
        with suppress(telex.Timeout):
            await sender.call("build", Month(3, 4), timeout=0.1)


@pytest.mark.slow
async def test_a_sender_elsewhere(file: str) -> None:
    worker = telex.Hub(file)

    @worker.command("build")
    async def build(month: Month) -> Report:
        if month.number > 12:
            raise OutOfStock("no such month", data={"number": month.number})
        return Report(str(month.number), month.year)

    async with telex.Hub(file) as sender:
        async with worker:
            assert await sender.call("build", Month(3, 4), type=Report) == Report("4", 3)
            assert await sender.call("build", {"year": 3, "number": 4}) == {"title": "4", "pages": 3}
            with pytest.raises(telex.CommandFailed, match="no such month") as caught:
                await sender.call("build", Month(3, 13))
            assert (caught.value.type, caught.value.data) == ("OutOfStock", {"number": 13})
            with pytest.raises(telex.CommandFailed, match=r"\$\.year") as caught:
                await sender.call("build", {"year": "x", "number": 4})
            assert caught.value.code == "refused"
        with pytest.raises(telex.NoHandler):
            await until_nobody_serves(sender)
        assert not [id for id in await sender.topics("$inbox:*") if id.endswith(transport_of(worker).id)]
