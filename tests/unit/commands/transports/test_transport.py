"""The protocol of transports: what both of them promise, whichever engine carries the commands."""

import asyncio
from dataclasses import FrozenInstanceError

import pytest

import telex
from telex.codec.content import Content
from telex.commands.outcome import Outcome, Progress
from telex.commands.transports.transport import CommandTransport, Request
from tests.support.internals import transport_of
from tests.unit.commands.parts import Gate


def members(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_")]


def request(name: str, content: object = None, *, needs_server: bool = False) -> Request:
    return Request(name, content, None, None, "wait", None, needs_server)


async def test_the_transport_of_every_engine_has_all_members(url: str) -> None:
    async with telex.Hub(url) as hub:
        transport = transport_of(hub)
        assert [name for name in members(CommandTransport) if not hasattr(transport, name)] == []
        assert len(members(CommandTransport)) >= 10


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises((AttributeError, FrozenInstanceError)):
        request("build").name = "other"  # type: ignore[misc]  # the mistake
    assert Request("a", 1, "k", 2.0, "reject", Content(int), True).duplicate == "reject"


async def test_a_sent_command_is_settled_with_its_outcome(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    async with hub:
        for send in (transport_of(hub).send, transport_of(hub).call):
            pending = await send(request("double", 21, needs_server=True))
            outcome = await asyncio.wait_for(pending, 20)
            assert (outcome.command, outcome.id, outcome.result) == ("double", pending.id, 42)


async def test_a_request_that_needs_a_server_is_refused_without_one(url: str) -> None:
    async with telex.Hub(url) as hub:
        with pytest.raises(telex.NoHandler):
            await transport_of(hub).send(request("double", 1, needs_server=True))


async def test_cancelling_a_command_settles_it_as_cancelled(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("slow")
    async def slow() -> None:
        await gate.pass_through()

    async with hub:
        pending = await transport_of(hub).send(request("slow"))
        await gate.reached.wait()
        assert await transport_of(hub).cancel(pending)
        outcome = await asyncio.wait_for(pending, 20)
        assert outcome.error is not None
        assert outcome.error.code == "cancelled"


async def test_messages_of_followers_are_read_and_other_content_is_not(url: str) -> None:
    async with telex.Hub(url) as hub:
        step = Progress("build", "1", None, 0.5, "half")
        assert await transport_of(hub).read(step) == step
        done = Outcome("build", "1", None, 7, None, 1, telex.Message.new(1).timestamp)
        assert await transport_of(hub).read(done) is done


async def test_senders_that_wait_get_the_error_of_closing(url: str) -> None:
    async with telex.Hub(url) as hub:
        pending = await transport_of(hub).send(request("later", 1))
        waiting = asyncio.create_task(pending.within(20))
        await asyncio.sleep(0)
        error = telex.Closed("the ticket", "its hub was closed")
        await transport_of(hub).close(error)
        with pytest.raises(telex.Closed) as raised:
            await waiting
        assert raised.value is error
