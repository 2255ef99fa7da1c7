"""The clock of the machine is set while telex runs: nothing that is judged by age changes."""

import asyncio
import time
from pathlib import Path

import pytest

import telex
from telex.commands.transports.services import SERVES_SECONDS
from tests.support.clocks import set_clocks
from tests.support.internals import engine_of, groups_of, log_of, transport_of

HOURS = [100, -100]


class Day:
    """The time of day, as it is given to a hub."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def set(self, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
        """Set it, for hubs and for modules."""
        self.ahead = hours * 3600
        set_clocks(monkeypatch, hours * 3600)


@pytest.fixture
def day() -> Day:
    return Day()


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/telex.db"


@pytest.mark.parametrize("hours", HOURS)
async def test_a_lease_of_a_group_is_as_long_as_it_was(
    url: str, hours: int, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second member comes after the clock was set, in a program of its own where that can be."""
    first, given = telex.Hub(url, clock=day), list[str]()
    reached, gate, later = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(content: str) -> None:
        given.append(content)
        if content == "held":
            reached.set()
            await gate.wait()
        else:
            later.set()

    first.on("t", group="g", lease="20s", run_in="loop")(work)
    async with first:
        await first.topic("t").publish("held")
        await reached.wait()
        day.set(monkeypatch, hours)
        second = first if url == "memory://" else telex.Hub(url, clock=day)
        second.on("t", group="g", lease="20s", run_in="loop")(work)
        if second is not first:
            await second.__aenter__()
        await second.topic("t").publish("free")
        await asyncio.wait_for(later.wait(), 20)
        (info,) = await second.groups.list()
        assert info.leased >= 1, "it is held still"
        assert given == ["held", "free"]
        gate.set()
        if second is not first:
            await second.aclose()
    assert given == ["held", "free"]


async def test_a_lease_ends_although_the_clock_was_put_back(
    url: str, day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub(url, clock=day)
    async with hub:
        groups, topic = groups_of(hub), hub.topic("t")
        assert groups is not None
        await groups.join("g", "t", "new", lambda: log_of(topic))
        await topic.publish("held")
        claimed = await groups.fetch("g", "t", 1, 0.01, "dead", 0.0)
        assert len(claimed.deliveries) == 1
        day.set(monkeypatch, -100)
        again = asyncio.Event()
        hub.on("t", group="g", run_in="loop")(lambda content: again.set())
        await asyncio.wait_for(again.wait(), 20)


@pytest.mark.parametrize("hours", HOURS)
async def test_the_servers_of_a_command_are_known(tmp_path: Path, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/telex.db"
    worker = telex.Hub(url)

    @worker.command("build")
    async def build(number: int) -> int:
        return number

    async with worker:
        transport = transport_of(worker)
        assert transport is not None
        assert transport.registry.beating is not None
        transport.registry.beating.cancel()
        await transport.registry.beat()  # it is some seconds until the next one
        set_clocks(monkeypatch, hours * 3600)
        async with telex.Hub(url) as sender:
            assert await sender.call("build", 5, timeout=20) == 5, "it is there, and its deadline is to come"
            assert await transport.registry.alive() >= {transport.id}
    monkeypatch.undo()
    async with telex.Hub(url) as killed, telex.Hub(url) as sender:
        transport = transport_of(killed)
        assert transport is not None
        transport.registry.add("build", False)
        await transport.registry.beat()  # and then no more
        now = engine_of(sender).now
        set_clocks(monkeypatch, hours * 3600)
        monkeypatch.setattr(engine_of(sender), "now", lambda: now() + SERVES_SECONDS + 0.1)
        with pytest.raises(telex.NoHandler):
            await sender.call("build", 5, timeout=20)


@pytest.mark.parametrize("hours", HOURS)
async def test_a_deadline_is_as_far_off_as_it_was(url: str, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    reached, gate = asyncio.Event(), asyncio.Event()

    @hub.command("build", concurrency=1)
    async def build(number: int) -> int:
        reached.set()
        await gate.wait()
        return number

    async with hub:
        first = await hub.send("build", 1)
        await reached.wait()
        waits, late = await hub.send("build", 2, timeout="1h"), await hub.send("build", 3, timeout=0)
        set_clocks(monkeypatch, hours * 3600)
        gate.set()
        assert [await ticket.result(timeout=20) for ticket in (first, waits)] == [1, 2]
        with pytest.raises(telex.CommandFailed, match="not begun"):
            await late.result(timeout=20)
