"""The connection of a hub to its engine: `hub.connected`, the topic `$connection`, the log, the texts of errors."""

import asyncio
import logging
from typing import Any

import pytest

import telex
from telex.topics.connection import ConnectionChange, EngineConnection
from tests.support.pretend import PretendEngine, Server

START = 1_000_000.0


class Clocked:
    """A connection on a clock that a test sets, and what it published."""

    def __init__(self) -> None:
        self.now = START
        self.changes: list[ConnectionChange] = []
        self.connection = EngineConnection(lambda change, now: self.changes.append(change), "x://host", self.clock)

    def clock(self) -> float:
        return self.now


def test_a_connection_says_each_change_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clocked = Clocked()
    connection = clocked.connection
    connection.restored()
    assert not connection.connected
    connection.opened()
    for reason in ("first", "second"):
        connection.lost(reason)
    clocked.now += 2.5
    connection.restored()
    connection.restored()
    said = [(change.state, change.reason, change.since.timestamp() - START) for change in clocked.changes]
    assert said == [("connected", "", 0.0), ("disconnected", "first", 0.0), ("connected", "", 2.5)]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "the connection to x://host is lost, and telex tries to restore it: first"),
        (logging.INFO, "the connection to x://host is restored after 2.5 s"),
    ]


def test_the_problem_says_since_when_and_the_newest_cause() -> None:
    connection = Clocked().connection
    assert connection.problem == ""
    connection.lost("nobody there")
    assert connection.problem == "nobody there"  # while it is opened
    connection.opened()
    assert connection.problem == ""
    connection.lost("gone")
    connection.lost("still gone; start it")
    expected = "the connection to x://host has been lost since 1970-01-12 13:46:40 UTC: still gone; start it"
    assert connection.problem == expected


async def test_waiting_ends_when_the_connection_is_restored_or_ended() -> None:
    for end in (EngineConnection.restored, lambda connection: connection.ended("closed")):
        connection = Clocked().connection
        connection.opened()
        connection.lost("gone")
        waiting = asyncio.ensure_future(connection.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        end(connection)
        await waiting


@pytest.mark.parametrize("pretend", [False, True])
async def test_a_hub_is_connected_while_it_is_open(pretend: bool) -> None:
    hub = telex.Hub(PretendEngine(Server()) if pretend else None)
    assert not hub.connected
    async with hub:
        assert hub.connected
        assert hub.statistics().connected
        changes = [message.content async for message in hub.topic("$connection").history()]
        assert [(change.state, change.reason) for change in changes] == [("connected", "")]
    assert not hub.connected


async def test_a_failed_engine_is_disconnected() -> None:
    engine = PretendEngine(Server())
    async with telex.Hub(engine) as hub, hub.topic("$connection").subscribe() as changes:
        assert engine.events is not None
        engine.events.failed(OSError("the disk is gone"))
        assert not hub.connected
        change = (await changes.receive()).content
        assert (change.state, "the disk is gone" in change.reason) == ("disconnected", True)


async def test_the_topic_is_of_one_process_and_of_telex_alone() -> None:
    server = Server()
    async with telex.Hub(PretendEngine(server)) as hub, telex.Hub(PretendEngine(server)) as other:
        async with hub.topic(">").subscribe() as everything, other.topic("$connection").subscribe() as elsewhere:
            assert hub.topic("$connection") is hub.topic("$connection")
            server.stop()
            assert [(await elsewhere.receive()).content.state] == ["disconnected"]
            server.start()
            assert everything.waiting == 0
        assert await hub.topics() == []
        assert server.kept == {}
        assert (hub.statistics().topics, hub.statistics().patterns) == (0, 1)


async def _publish(hub: telex.Hub) -> Any:
    await hub.topic("$connection").publish("x")


async def _publish_nowait(hub: telex.Hub) -> Any:
    hub.topic("$connection").publish_nowait("x")


async def _publish_in_a_transaction(hub: telex.Hub) -> Any:
    async with hub.transaction() as tx:
        await tx.publish("$connection", "x")


async def _adopt(hub: telex.Hub) -> Any:
    await hub.adopt([telex.Message.new("x", topic="$connection")])


async def _remove(hub: telex.Hub) -> Any:
    await hub.remove("$connection")


@pytest.mark.parametrize("act", [_publish, _publish_nowait, _publish_in_a_transaction, _adopt, _remove])
async def test_nobody_else_publishes_to_the_topic_or_removes_it(act: Any) -> None:
    async with telex.Hub(PretendEngine(Server())) as hub:
        with pytest.raises(telex.BadName, match="telex"):
            await act(hub)


def test_a_group_does_not_take_from_the_topic() -> None:
    with pytest.raises(telex.BadOption, match="leave out group="):
        telex.Hub().on("$connection", group="g", run_in="loop")(print)


async def test_an_outage_is_in_the_text_of_each_timeout() -> None:
    server = Server()
    async with telex.Hub(PretendEngine(server)) as hub:
        await hub.topic("a").publish(1)
        server.stop()

        async def enter(what: Any) -> None:
            async with what:
                pass

        for wait in (
            hub.topic("a").publish(2, timeout=0.01),
            hub.topic("a").publish(2, timeout=0.01, delay=5),
            enter(hub.topic("a").subscribe(start="earliest", timeout=0.01)),
            hub.send("c", timeout=0.01),
            hub.call("c", timeout=0.01),
        ):
            with pytest.raises(telex.Timeout) as failed:
                await wait
            assert "has been lost since" in str(failed.value)
            assert str(failed.value).endswith("its server is down; start it")
        server.start()
