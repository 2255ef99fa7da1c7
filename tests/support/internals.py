"""The parts of a hub that a program never sees, for tests that look at them, break them or stand in for them.

`Hub` and `Topic` are public, so their parts have no public names. Only this file says where the parts are.
"""

import asyncio
from typing import Any

from msgspec.structs import replace

import telex
from telex.commands.once_server import OnceServer
from telex.engines import Engine
from telex.engines.contract import EngineTransaction, Groups, Records
from telex.engines.sqlite import SQLiteEngine
from telex.engines.sqlite.address import parse
from telex.engines.sqlite.bounds import FileBounds
from telex.groups.consumer import GroupConsumer
from telex.handlers.runner import HandlerRunner
from telex.hub import dispatcher_of, runtime_of, scheduler_of
from telex.limits.registry import LimitRegistry
from telex.log.log import Log
from telex.once.leases import KeyLeases
from telex.topics.topic import Topic, publisher_of
from telex.triggers.engine_firings import EngineFirings
from telex.triggers.timer_queue import TimerQueue
from telex.triggers.trigger import state_of
from telex.triggers.when_claims import WhenClaimant
from telex.triggers.when_trigger import WhenTrigger


def engine_of(hub: telex.Hub) -> Engine:
    return runtime_of(hub).engine


def records_of(hub: telex.Hub) -> Records:
    return runtime_of(hub).records("this test")


def groups_of(hub: telex.Hub) -> Groups:
    return runtime_of(hub).groups("this test")


def transport_of(hub: telex.Hub) -> Any:
    """The transport of a hub's commands."""
    return dispatcher_of(hub).transport


def leases_of(hub: telex.Hub, command: str) -> KeyLeases:
    """The leases of a command that runs once."""
    server = dispatcher_of(hub).table.servers[command]
    assert isinstance(server, OnceServer)
    return server.leases


def consumers_of(hub: telex.Hub) -> list[GroupConsumer]:
    return hub._group_runner.consumers


def limits_of(hub: telex.Hub) -> LimitRegistry:
    return hub._group_runner.limits


def runner_of(hub: telex.Hub) -> HandlerRunner:
    return hub._runner


def log_of(topic: Topic[Any]) -> Log:
    return publisher_of(topic).log


def client_of(engine: Any) -> Any:
    """The connections of a SQLite engine: its reader, its writer, its watcher."""
    return engine._client


def bounded(url: str, **bounds: Any) -> SQLiteEngine:
    """An engine with some of the bounds of a file chosen; see `FileBounds`."""
    return SQLiteEngine(replace(parse(url), bounds=FileBounds(**bounds)))


def chores_of(hub: telex.Hub) -> set[asyncio.Task[None]]:
    """The background tasks of triggers that run now."""
    return scheduler_of(hub).timers.tasks


def timers_of(hub: telex.Hub) -> TimerQueue[Any]:
    return scheduler_of(hub).timers.queue


async def caught_up(hub: telex.Hub) -> None:
    """Wait until all that is due is claimed."""
    queue = firings_of(hub).queue
    while queue.task is not None and not queue.task.done():
        await asyncio.wait((queue.task,))


def state_in(hub: telex.Hub, name: str) -> Any:
    """The part of a trigger that the hub uses."""
    return state_of(hub.trigger(name))


def when_state(hub: telex.Hub, name: str) -> WhenTrigger:
    """As `state_in`, of a trigger of a condition."""
    found = state_in(hub, name)
    assert isinstance(found, WhenTrigger)
    return found


def firings_of(hub: telex.Hub) -> EngineFirings:
    """The firings of a hub on an engine that processes share."""
    found = scheduler_of(hub).firings
    assert isinstance(found, EngineFirings)
    return found


def claimant_of(hub: telex.Hub, name: str) -> WhenClaimant:
    """The claimant of a trigger of a condition."""
    return firings_of(hub).whens[state_in(hub, name)]


def inbox_of(hub: telex.Hub) -> str:
    """The topic on which a hub gets the outcomes of its commands."""
    return f"$inbox:{transport_of(hub).id}"


def engine_transaction_of(tx: telex.Transaction) -> EngineTransaction:
    return tx._engine


def set_bounds(hub: telex.Hub, **bounds: float) -> None:
    """Choose some of the bounds of a hub; see `HubBounds`."""
    runtime_of(hub).bounds = replace(runtime_of(hub).bounds, **bounds)
