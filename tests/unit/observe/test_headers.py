"""The headers that go from a handled message into the messages of its handler, on each engine."""

from pathlib import Path
from typing import Any

import pytest

import telex
from telex.observe.headers import carried, carried_in, is_traceparent, merged
from tests.support.pretend import PretendEngine, Server

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GIVEN = {"traceparent": PARENT, "tracestate": "vendor=1", "correlation-id": "order 7", "color": "red"}
GOES_ON = {"traceparent": PARENT, "tracestate": "vendor=1", "correlation-id": "order 7"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        PARENT[:-1],
        PARENT + "-00",
        PARENT.upper(),
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
    ],
)
def test_a_traceparent_that_breaks_its_format_does_not_go_on(value: str) -> None:
    assert not is_traceparent(value)
    assert carried_in({"traceparent": value, "tracestate": "a=1"}) is None


def test_a_traceparent_of_a_later_version_goes_on() -> None:
    assert is_traceparent("cc" + PARENT[2:] + "-more")


def test_headers_go_on_under_their_names_in_lower_case_and_others_do_not() -> None:
    assert carried_in({"TraceParent": PARENT, "Correlation-Id": "7", "color": "red"}) == {
        "traceparent": PARENT,
        "correlation-id": "7",
    }
    assert carried_in({"tracestate": "a=1"}) is None
    assert carried_in({"traceparent": PARENT, "tracestate": "a" * 513}) == {"traceparent": PARENT}
    assert carried_in({"correlation-id": "x" * 256}) is None


def test_headers_that_the_publisher_gave_stay() -> None:
    other = PARENT.replace("b7", "c7")
    assert merged({"Traceparent": other, "a": "b"}, GOES_ON) == {
        "Traceparent": other,
        "a": "b",
        "correlation-id": "order 7",
    }
    assert merged(None, None) is None
    assert merged({"a": "b"}, None) == {"a": "b"}


def hub_on(engine: str, folder: Path) -> telex.Hub:
    if engine == "pretended":
        return telex.Hub(PretendEngine(Server()))
    return telex.Hub("memory://" if engine == "memory" else f"sqlite:///{folder}/x.db")


@pytest.mark.parametrize("engine", ["memory", "sqlite", "pretended"])
async def test_a_handler_gives_its_messages_the_headers_of_the_handled_message(engine: str, tmp_path: Path) -> None:
    hub = hub_on(engine, tmp_path)
    seen: dict[str, dict[str, str]] = {}

    @hub.on("live")
    async def live(content: int) -> None:
        await hub.topic("grouped").publish(content)

    @hub.on("plain", run_in="loop")
    def plain(message: telex.Message[int]) -> None:
        seen["plain"] = dict(carried.get() or {})

    @hub.on("grouped", group="g")
    async def grouped(content: int) -> None:
        await hub.call("build", content)

    @hub.command("build")
    async def build(content: int, context: telex.CommandContext[int]) -> None:
        seen.setdefault("command", {name: context.message.headers.get(name, "") for name in GOES_ON})
        await hub.topic("built").publish(content)
        await hub.topic("delayed").publish(content, delay=0.001)
        async with hub.transaction() as tx:
            await tx.publish("in-a-transaction", content)

    async def last(topic: str) -> dict[str, str]:
        return [dict(message.headers) async for message in hub.topic(topic).history()][-1]

    async with hub, hub.topic("delayed").subscribe() as delayed:
        for topic in ("live", "plain"):
            await hub.topic(topic).publish(1, headers=GIVEN)
        seen["delayed"] = dict((await delayed.receive(timeout=5)).headers)
        await hub.idle()
        for topic in ("grouped", "built", "in-a-transaction", "$command:build:outcome"):
            seen[topic] = await last(topic)
        await hub.topic("live").publish(2)
        await hub.idle()
        assert await last("built") == {}
    assert seen.pop("plain") == GOES_ON
    assert seen == dict.fromkeys(seen, GOES_ON)
    assert len(seen) == 6


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_a_handler_that_raised_leaves_no_headers_behind(engine: str, tmp_path: Path) -> None:
    hub = hub_on(engine, tmp_path)
    found: list[Any] = []

    @hub.on("numbers", group="g", retry=telex.Retry(attempts=1))
    async def check(content: int) -> None:
        found.append(carried.get())
        if content == 1:
            raise ValueError("mine")

    async with hub:
        await hub.topic("numbers").publish(1, headers=GIVEN)
        await hub.topic("numbers").publish(2)
        await hub.idle()
        dead = [dict(message.headers) async for message in hub.topic("dead:g").history()]
    assert found == [GOES_ON, None]
    assert dead[0]["traceparent"] == PARENT
