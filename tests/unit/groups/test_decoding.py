"""A worker of a group decodes each message once: it follows no topic."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines import Engine, engine_for
from telex.hub import runtime_of
from tests.support.internals import engine_of, groups_of, log_of
from tests.support.postgres import url_of
from tests.support.pretend import PretendEngine, Server

COUNT = 200


async def decodes(make: Callable[[], Engine], pattern: str) -> int:
    """How often a hub that has only a member of a group decodes a message, of `COUNT` that another hub publishes."""
    worker, handled, done, calls = telex.Hub(make()), 0, asyncio.Event(), 0
    topics = runtime_of(worker).topics
    content = topics.decode

    def counted(data: object, topic: str, type: str | None) -> object:
        nonlocal calls
        calls += 1
        return content(data, topic, type)

    topics.decode = counted  # type: ignore[method-assign]  # of this hub

    @worker.on(pattern, group="billing", concurrency=4)
    async def handle(content: Any) -> None:
        nonlocal handled
        handled += 1
        if handled == COUNT:
            done.set()

    async with telex.Hub(make()) as publisher:
        topic = publisher.topic("orders:1")
        await groups_of(publisher).join("billing", pattern, "new", lambda: log_of(topic))
        async with worker:
            await asyncio.gather(*(topic.publish(number) for number in range(COUNT)))
            await done.wait()
            assert topics.all() == []
    engine = engine_of(worker)
    return engine.decoded if isinstance(engine, PretendEngine) else calls


@pytest.mark.parametrize("pattern", ["orders:1", "orders:*"])
async def test_a_worker_on_a_file_decodes_each_message_once(tmp_path: Path, pattern: str) -> None:
    assert await decodes(lambda: engine_for(f"sqlite:///{tmp_path}/work.db"), pattern) == COUNT


@pytest.mark.parametrize("pattern", ["orders:1", "orders:*"])
async def test_a_worker_on_an_engine_elsewhere_decodes_each_message_once(pattern: str) -> None:
    server = Server()
    assert await decodes(lambda: PretendEngine(server), pattern) == COUNT


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["orders:1", "orders:*"])
async def test_a_worker_on_a_server_decodes_each_message_once(postgres: str, pattern: str) -> None:
    url = url_of(postgres, "decoding_of_" + ("one" if pattern == "orders:1" else "many"))
    assert await decodes(lambda: engine_for(url), pattern) == COUNT
