"""Parts of the tests of triggers: programs that share a file, and firings as seconds of the virtual clock."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

import telex
from telex.testing.clock import BEGIN
from telex.triggers.monitor import ConditionMonitor
from tests.support.internals import set_bounds, when_state
from tests.support.loops import until


@asynccontextmanager
async def programs(
    url: str, count: int, declare: Callable[[telex.Hub], object], **bounds: float
) -> AsyncIterator[list[telex.Hub]]:
    """So many hubs on one file with these bounds, each of which declares the same."""
    async with AsyncExitStack() as stack:
        hubs = []
        for _ in range(count):
            hub = telex.Hub(url)
            set_bounds(hub, **bounds)
            declare(hub)
            hubs.append(await stack.enter_async_context(hub))
        yield hubs


async def kept(hub: telex.Hub, topic: str) -> list[telex.Firing]:
    return [msgspec.convert(message.content, telex.Firing) async for message in hub.topic(topic).history()]


async def expiry(hub: telex.Hub, bucket: str, key: str) -> float | None:
    """When a record may be deleted."""
    async with hub.transaction() as tx:
        sql = "SELECT expires FROM telex_records WHERE bucket = ? AND key = ?"
        ((expires,),) = await tx.execute(sql, (bucket, key))
    return None if expires is None else float(expires)


async def watched(hub: telex.Hub, trigger: str, value: int) -> None:
    """Until the trigger has seen this value of its variable."""
    monitor = when_state(hub, trigger).source
    assert isinstance(monitor, ConditionMonitor)
    await until(lambda: monitor.evaluator.values["count"] == value)


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def seconds_of(messages: tuple[telex.Message[Any], ...]) -> list[float]:
    return [(message.content.scheduled - BEGIN).total_seconds() for message in messages]


def waiting(inbox: telex.Subscription[Any]) -> list[float]:
    return seconds_of(inbox.receive_many_nowait()) if inbox.waiting else []


def firing_in(message: telex.Message[object]) -> telex.Firing:
    """What another process, or an earlier one, has published is plain data."""
    return msgspec.convert(message.content, telex.Firing)
