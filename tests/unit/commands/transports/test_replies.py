"""The reply inbox of a hub: outcomes that are large, lost, late or unreadable."""

import asyncio
import gc
import time
import weakref
from contextvars import ContextVar
from typing import Any

import msgspec
import pytest

import telex
import telex.engines
from telex.commands.transports.services import BUCKET, Heartbeat
from telex.once.machine import fingerprint
from tests.support.internals import engine_of, inbox_of, log_of, records_of, transport_of
from tests.support.loops import idle, until
from tests.unit.commands.parts import Gate, building


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


async def test_the_context_of_the_first_sender_is_not_kept(file: str) -> None:
    class Request: ...

    async def send() -> weakref.ref[Request]:
        request = Request()
        current.set(request)
        ticket = await sender.send("echo", 1)
        await (await sender.ticket(ticket.id)).result()
        return weakref.ref(request)

    current: ContextVar[Request] = ContextVar("current")
    worker = telex.Hub(file)

    @worker.command("echo")
    async def echo(number: int) -> int:
        return number

    async with worker, telex.Hub(file) as sender:
        request = await asyncio.create_task(send())
        await until(lambda: gc.collect() >= 0 and request() is None)


async def test_the_inboxes_of_killed_hubs_are_removed(file: str) -> None:
    async with telex.Hub(file) as hub:
        records = records_of(hub)
        assert records is not None
        await hub.topic("$inbox:killed").publish(1)
        await hub.topic("$inbox:asleep").publish(1)
        assert await records.put(BUCKET, "asleep", msgspec.json.encode(Heartbeat(time.time(), {})), 0) is not None
        with pytest.raises(telex.NoHandler):
            await hub.call("nothing", 1)
        transport = transport_of(hub)
        assert transport is not None
        await transport.inbox.open()
        assert transport.inbox.sweeping is not None
        await transport.inbox.sweeping
        assert set(await hub.topics("$inbox:*")) == {"$inbox:asleep", inbox_of(hub)}


MANY = 1300
"""More than a topic keeps by default."""


@pytest.mark.slow
async def test_a_sender_that_reads_late_gets_all_outcomes(
    file: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = telex.Hub(file)

    @worker.command("double", concurrency=64)
    async def double(number: int) -> int:
        return 2 * number

    async with worker, telex.Hub(file) as sender:
        assert await sender.call("double", 1) == 2
        transport = transport_of(sender)
        assert transport is not None
        hear = transport.inbox.take

        async def late(content: object) -> None:
            await gate.pass_through()
            await hear(content)

        monkeypatch.setattr(transport.inbox, "take", late)
        tickets = await asyncio.gather(*[sender.send("double", n) for n in range(MANY)])
        async with worker.follow("double", start=MANY) as done:
            seen = 0
            while seen < MANY - 300:
                await done.receive(timeout=30)
                seen += 1
        gate.opened.set()
        assert [await ticket.result(timeout=50) for ticket in tickets] == [2 * n for n in range(MANY)]


async def test_a_letter_that_cannot_be_read_is_the_only_one(file: str, caplog: pytest.LogCaptureFixture) -> None:
    worker = telex.Hub(file)

    @worker.command("double")
    async def double(number: int) -> int:
        return 2 * number

    async with worker, telex.Hub(file) as sender:
        assert await sender.call("double", 1) == 2
        transport = transport_of(sender)
        assert transport is not None
        await sender.topic(inbox_of(sender)).publish({"no": "letter"})
        assert await sender.call("double", 2, timeout=20) == 4
    assert any("cannot be read" in record.message for record in caplog.records)


async def test_a_result_that_is_gone_is_told(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = telex.Hub(file)

    @worker.command("large")
    async def large(size: int) -> str:
        return "x" * size

    async with worker, telex.Hub(file) as sender:
        records = records_of(sender)
        assert records is not None
        get = records.get

        async def gone(bucket: str, key: str) -> telex.engines.Record | None:
            return None if bucket == "$results" else await get(bucket, key)

        monkeypatch.setattr(records, "get", gone)
        with pytest.raises(telex.CommandFailed) as caught:
            await sender.call("large", 400_000, timeout=20)
        assert caught.value.code == "result_gone"


async def test_a_sender_that_lost_outcomes_is_told_and_may_send_again(file: str, gate: Gate) -> None:
    worker = telex.Hub(file)
    building(worker, gate)

    async with worker, telex.Hub(file) as sender:
        ticket = await sender.send("build", 1, key="a")
        await gate.reached.wait()
        inbox = transport_of(sender).inbox
        inbox.lose_all(telex.Lost(3, 1, 3, "trimmed"))
        with pytest.raises(telex.CommandFailed, match=r"3 outcomes were lost, .* again") as caught:
            await ticket.result(timeout=20)
        assert caught.value.code == "outcome_lost"
        assert not inbox.requests.has("build", "a", fingerprint("build", 1, 1), time.time())
        gate.opened.set()
        assert await sender.call("build", 1, key="a", timeout=20) == 1


async def test_a_command_that_is_stored_while_its_hub_closes_leaves_no_ticket_that_waits(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, stored, closed = telex.Hub(file), asyncio.Event(), asyncio.Event()
    async with hub:
        store: Any = engine_of(hub).store
        append = store.append

        async def append_slowly(*drafts: Any, **options: Any) -> Any:
            messages = await append(*drafts, **options)
            stored.set()
            await closed.wait()
            return messages

        monkeypatch.setattr(store, "append", append_slowly)
        sending = asyncio.create_task(hub.send("build", 1))
        await stored.wait()
    closed.set()
    ticket = await sending
    with pytest.raises(telex.Closed, match="closed before its outcome came"):
        await ticket.result(timeout=20)
    assert ticket.closed


@pytest.mark.parametrize(("elsewhere", "key"), [(False, None), (True, "a")])
async def test_an_outcome_that_comes_before_the_engine_has_answered(
    file: str, monkeypatch: pytest.MonkeyPatch, elsewhere: bool, key: str | None
) -> None:
    """The engine stores a command, and loses its connection before it answers."""
    worker = telex.Hub(file)
    building(worker)

    @worker.command("double")
    async def double(number: int) -> int:
        return 2 * number

    name = "build" if key else "double"
    async with worker, telex.Hub(file) as other:
        sender = other if elsewhere else worker
        await sender.call(name, 5, key=key and "before")
        store: Any = engine_of(sender).store
        append = store.append

        async def answered_late(drafts: Any, *rest: Any) -> Any:
            stored = await append(drafts, *rest)
            if drafts[0].topic == f"$command:{name}:request":
                await until(lambda: sum(each.succeeded for each in worker.statistics().commands) == 2)
                await sender.topic(inbox_of(sender)).publish(None)  # a message after the reply
                await until(lambda: log_of(sender.topic(inbox_of(sender))).end >= (4 if elsewhere else 2))
                await idle()
            return stored

        monkeypatch.setattr(store, "append", answered_late)
        ticket = await sender.send(name, 4, key=key)
        assert await ticket.result(timeout=5) == (4 if key else 8)
        assert not transport_of(sender).inbox.requests.by_key
