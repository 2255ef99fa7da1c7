"""The methods of a hub that send, call and follow commands, on each engine."""

import uuid
from pathlib import Path

import msgspec
import pytest

import telex
from tests.unit.commands.parts import Gate, Month, Report, building


async def test_a_call_gives_the_result(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("report:build")
    async def build(month: Month) -> Report:
        return Report(f"{month.year}-{month.number:02}", 3)

    @hub.command("double", run_in="loop")
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


async def test_internal_topics_are_not_shown_to_patterns(url: str) -> None:
    hub = telex.Hub(url)
    seen = []

    @hub.on(">", run_in="loop")
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


async def test_the_key_tells_other_content_apart(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    ran = building(hub, gate)

    async with hub:
        first = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        with pytest.raises(telex.KeyConflict, match="the key 'a' of the command 'build'"):
            await hub.call("build", 2, key="a")
        gate.opened.set()
        assert await first == 1
        with pytest.raises(telex.KeyConflict):
            await hub.call("build", 2, key="a")
        assert await hub.call("build", 1, key="a") == 1
        assert await hub.call("build", 2, key="b") == 2
    assert ran == [1, 2]


async def test_a_command_that_runs_once_needs_a_key(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        return number

    async with hub:
        for method in (hub.call, hub.send):
            with pytest.raises(telex.BadOption, match="'build' runs once for each key"):
                await method("build", 1)
            with pytest.raises(telex.TelexError):
                await method("build", 1, key="")


async def test_a_duplicate_may_ask_not_to_wait(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    building(hub, gate)

    async with hub:
        first = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        with pytest.raises(telex.InProgress, match="'build' with the key 'a' is running"):
            await hub.call("build", 1, key="a", duplicate="reject")
        gate.opened.set()
        assert await first == 1
        assert await hub.call("build", 1, key="a", duplicate="reject") == 1


class Payment(msgspec.Struct):
    cents: int
    tags: set[str] = msgspec.field(default_factory=set)
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


@pytest.mark.parametrize("where", ["memory", "sqlite"])
async def test_a_default_that_is_filled_in_is_no_other_content(where: str, tmp_path: Path) -> None:
    url = "memory://" if where == "memory" else f"sqlite:///{tmp_path}/a.db"

    def opened() -> telex.Hub:
        hub = telex.Hub(url, close_timeout=5)

        @hub.command("pay", once=True)
        async def pay(payment: Payment) -> str:
            return payment.id

        @hub.on("never", Payment, run_in="loop")  # so that what comes from the file under this name is made one
        def look(payment: Payment) -> None: ...

        return hub

    async with opened() as hub:
        first = await hub.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20)
        assert await hub.call("pay", {"tags": ["a"], "cents": 5}, key="k", timeout=20) == first
        with pytest.raises(telex.KeyConflict):
            await hub.call("pay", {"cents": 6, "tags": ["a"]}, key="k", timeout=20)
        whole = Payment(7, {"x", "y", "z"})
        assert await hub.call("pay", whole, key="whole", timeout=20) == whole.id
        if where == "sqlite":
            async with telex.Hub(url) as other:
                assert await other.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20) == first
                assert await other.call("pay", whole, key="whole", timeout=20) == whole.id
    if where == "sqlite":
        async with opened() as again:
            assert await again.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20) == first
