"""A connection that is lost and restored: programs see it, and everything goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from telex.errors import EngineFailed, Timeout
from telex.hub import Hub
from telex.testing.conformance.suite import Suite, promise
from telex.topics.connection import ConnectionChange

T = "orders:1"


class ConnectionTests(Suite):
    """`telex.engines.EngineEvents.disconnected` and ``connected``, on an engine with a server (`Suite.outage`)."""

    @promise("store", "outage", slow=True)
    async def test_a_lost_and_a_restored_connection_are_reported(self) -> None:
        """An engine calls `disconnected` when it does not reach its server and `connected` when it does again, each
        time, and works then."""
        async with self.rig() as rig:
            for outage in (1, 2):
                await rig.send(T, outage)
                async with self.outage():
                    await rig.until(lambda: rig.connections[-1:] == ["disconnected"], "disconnected")
                await rig.until(lambda: rig.connections[-1:] == ["connected"], "connected")
                assert rig.connections.count("connected") == outage
            await rig.send(T, 3)
            assert rig.contents(T) == [1, 2, 3]

    @promise("store", "outage", slow=True)
    async def test_a_hub_shows_its_connection(self) -> None:
        """``hub.connected`` and the messages of ``$connection`` show an outage while it lasts, and its end."""
        async with self.hub() as hub, hub.topic("$connection").subscribe(start="earliest") as changes:
            assert hub.connected
            assert (await self._change(changes)).state == "connected"
            async with self.outage():
                lost = await self._change(changes)
                assert (lost.state, hub.connected, hub.statistics().connected) == ("disconnected", False, False)
                assert lost.reason
            assert (await self._change(changes)).state == "connected"
            assert hub.connected
        assert not hub.connected

    @promise("store", "outage", slow=True)
    async def test_publishing_waits_for_the_connection_at_most_its_timeout(self) -> None:
        """A message that is published during an outage is stored once after it, or publishing raises `Timeout` or
        `EngineFailed`, whose text says that the connection is lost."""
        async with self.hub() as hub, hub.topic(T).subscribe() as inbox:
            async with self.outage():
                await self._until(hub, connected=False)
                publishing = [asyncio.ensure_future(hub.topic(T).publish(n)) for n in range(10)]
                late = asyncio.ensure_future(hub.topic(T).publish("late", timeout=0.05))
                error = (await asyncio.gather(late, return_exceptions=True))[0]
                assert isinstance(error, Timeout), "it was published while there was no server"
                assert "been lost since" in str(error), f"the error does not say why: {error}"
            done = await asyncio.gather(*publishing, return_exceptions=True)
            acknowledged = [n for n, result in enumerate(done) if not isinstance(result, BaseException)]
            failed = [error for error in done if isinstance(error, BaseException)]
            assert all(isinstance(error, (Timeout, EngineFailed)) for error in failed), failed
            await hub.topic(T).publish("end")
            kept = [message.content async for message in hub.topic(T).history()]
            received: list[Any] = []
            while received[-1:] != ["end"]:
                received.append((await inbox.receive(timeout=self.patience)).content)
            assert received == kept, "the subscriber received something else than is kept"
            assert all(kept.count(n) == 1 for n in acknowledged), "what was acknowledged is not kept once"
            assert all(kept.count(content) == 1 for content in kept), "a message is kept twice"

    @promise("store", "outage", "groups", slow=True)
    async def test_subscriptions_handlers_and_groups_go_on_after_an_outage(self) -> None:
        """Subscribers receive each message once and in order, and a group handles each, across two outages."""
        handled: list[Any] = []
        async with self.hub() as hub, hub.topic("orders:*").subscribe() as inbox:
            live: list[Any] = []
            hub.on(T)(live.append)
            hub.on(T, group="billing", lease=30)(handled.append)
            for n in range(3):
                await hub.topic(T).publish(n)
                if n < 2:
                    async with self.outage():
                        await self._until(hub, connected=False)
                    await self._until(hub, connected=True)
            received = [(await inbox.receive(timeout=self.patience)).content for _ in range(3)]
            async with asyncio.timeout(self.patience):
                while len(handled) < 3 or len(live) < 3:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
            assert (received, live, sorted(handled)) == ([0, 1, 2], [0, 1, 2], [0, 1, 2])

    async def _change(self, changes: Any) -> ConnectionChange:
        change: ConnectionChange = (await changes.receive(timeout=self.patience)).content
        return change

    async def _until(self, hub: Hub, *, connected: bool) -> None:
        """Wait until the hub is connected, or is not."""
        async with asyncio.timeout(self.patience):
            async with hub.topic("$connection").subscribe() as changes:
                while hub.connected is not connected:
                    await changes.receive()
