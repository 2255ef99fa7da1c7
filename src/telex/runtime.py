"""`Runtime`: the objects that the parts of a hub share.

Handlers, groups, commands and triggers are given the runtime and never the hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from enum import IntEnum
from random import random
from time import time
from typing import Any, NoReturn, Protocol

import msgspec

from telex.engines.contract import Engine, Groups, Records, Store, TransactionOutbox
from telex.errors import Closed, Misuse, WrongThread
from telex.names import shown_url
from telex.observe.instrument import Instrument, Processing
from telex.process.processes import ProcessPool, default_processes
from telex.process.tasks import start_task
from telex.process.threads import DEFAULT_THREADS, ThreadPool, check_size
from telex.topics.connection import EngineConnection
from telex.topics.publisher import NOT_OPEN
from telex.topics.registry import TopicRegistry
from telex.topics.topic import Topic
from telex.topics.transaction import Transaction

logger: logging.Logger = logging.getLogger("telex")
GRACE_SECONDS = 2.0
"""The seconds beyond its ``close_timeout`` for which a hub that closes waits for its engine."""


class Lifecycle(IntEnum):
    """The states of a hub, in the order in which a hub passes through them."""

    NEW = 0
    OPENING = 1
    """The engine connects, then the lifespan runs; the lifespan may use the hub."""
    OPEN = 2
    """Handlers, commands and triggers are served."""
    DRAINING = 3
    """Nothing new is accepted; handlers finish the messages that wait for them."""
    CLOSING = 4
    """Running calls are cancelled, and no call begins."""
    CLOSED = 5


class EngineClosing:
    """The closing of an engine, once, at the latest some seconds after the time in which handlers may finish."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._early: asyncio.Task[None] | None = None

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Close the engine after ``seconds`` and `GRACE_SECONDS` if the block still runs then: its calls of the engine
        raise `Closed` from then on.
        """
        timer = asyncio.get_running_loop().call_later(seconds + GRACE_SECONDS, self._close_early)
        try:
            yield
        finally:
            timer.cancel()

    def _close_early(self) -> None:
        logger.error("the engine does not answer while the hub closes, and is closed now")
        self._early = start_task(self._engine.close(), name="telex closes its engine")

    async def close(self) -> None:
        """Close the engine. Cancelling makes it faster."""
        await (self._engine.close() if self._early is None else self._early)


class Wire(Protocol):
    """A function that returns ``function`` with its dependencies."""

    def __call__(self, function: Callable[..., Any], *, in_thread: bool = False) -> Callable[..., Any]: ...


def _as_it_is(function: Callable[..., Any], *, in_thread: bool = False) -> Callable[..., Any]:
    return function


class HubBounds(msgspec.Struct, frozen=True):
    """Bounds of one hub. The defaults suit every program; tests choose small ones."""

    engine_retry_seconds: float = 5.0
    """The time until a trigger that raised, or an engine that failed to claim firings, is tried again."""
    claim_retry_seconds: float = 1.0
    """The time until a group claims again after its engine failed."""
    pause_check_seconds: float = 1.0
    """The time after which a trigger that is paused in all processes checks whether it was resumed."""
    settled_check_seconds: float = 1.0
    """The shortest time between two checks whether the last firings of ended triggers are settled."""
    claim_batch: int = 64
    """The largest number of schedules that one transaction claims. It is small, because other writers of a file
    wait.
    """
    claimed_firings: int = 1000
    """The largest number of missed firings that one transaction publishes, without those of its first trigger."""
    waiting_firings: int = 1000
    """The largest number of firings of one trigger that wait for a blocking subscriber; more are logged and dropped."""
    schedules: int = 10_000
    """The largest number of schedules on one engine that programs add at run time."""
    schedules_check_seconds: float = 60.0
    """The time after which all schedules are read again, for changes whose message was lost."""
    waiting_commands: int = 10_000
    """The largest number of accepted commands of one name that wait for a call; after that senders wait."""


class Runtime:
    """The engine, the topics, the clock, the lifecycle and the tasks of one hub.

    ``hub`` is passed to handlers with an argument for it, and is not used otherwise. ``clock`` returns seconds since
    1970.
    """

    def __init__(
        self,
        engine: Engine,
        url: str,
        hub: Any,
        clock: Callable[[], float] = time,
        threads: int = DEFAULT_THREADS,
        processes: int | None = None,
    ) -> None:
        self.engine: Engine = engine
        self.url: str = url
        self.hub: Any = hub
        self.clock: Callable[[], float] = clock
        self.bounds: HubBounds = HubBounds()
        self.topics: TopicRegistry = TopicRegistry(engine, clock, self.address)
        self.state: Lifecycle = Lifecycle.NEW
        self.reason: str = NOT_OPEN
        """The text for errors while the hub cannot be used; empty while it can."""
        self.context: Context = copy_context()
        """The context in which the hub was opened, for calls whose message has no context."""
        self.chance: Callable[[], float] = random
        """Returns a random number from 0 to 1, for jitter."""
        self.tasks: set[asyncio.Task[Any]] = set()
        """The tasks of handlers and commands, which closing cancels."""
        self.progress: asyncio.Event | None = None
        """Set after every call while `until` waits, so that it checks again; None at other times."""
        self.instruments: tuple[Instrument, ...] = ()
        """The observers of handlers, commands and published messages."""
        self.wire: Wire = _as_it_is
        """Returns a function that makes the dependencies of another, see `telex.handlers.dependencies`."""
        self._waiting = 0  # the number of calls of `until`
        self.loading: int = 0
        """The number of threads that load something from a file, and never wait for a timer."""
        self.threads: ThreadPool = ThreadPool(check_size(threads, "threads"), self.moved)
        """The threads that call sync functions."""
        self.processes: ProcessPool = ProcessPool(
            default_processes() if processes is None else check_size(processes, "processes"), self.moved
        )
        """The processes that call functions with ``run_in="process"``."""
        hold = getattr(clock, "hold", None)  # of a virtual clock, which has to wait for threads
        if hold is not None:
            hold(lambda: not self.calls_nothing, lambda: self.loading > 0)

    def observe(self, instruments: Sequence[Instrument]) -> None:
        """Add observers, before the hub is opened."""
        self.instruments = (*self.instruments, *instruments)
        for instrument in instruments:
            instrument.attach(self.hub)
            if instrument.sends:
                self.topics.carrier.instrument = instrument
                self.topics.carrier.activate()

    def observed(self, invoke: Callable[[Any], Any], of: Processing) -> Callable[[Any], Any]:
        """Return a bound handler or command with the observers around it."""
        for instrument in self.instruments:
            invoke = instrument.processing(invoke, of)
        return invoke

    @property
    def in_process(self) -> bool:
        """True when the logs are in this process, so that messages reach handlers with the context of their
        publisher.
        """
        return self.engine.store is None

    @property
    def address(self) -> str:
        """The URL without credentials, for messages."""
        return shown_url(self.url)

    @property
    def connection(self) -> EngineConnection:
        """The connection to the engine."""
        return self.topics.connection

    @property
    def serves(self) -> bool:
        """True while handlers are called for new messages."""
        return self.state is Lifecycle.OPEN

    @property
    def ends(self) -> bool:
        """True once running calls are cancelled and no call may begin."""
        return self.state >= Lifecycle.CLOSING

    @property
    def closed(self) -> bool:
        """True once closing has begun."""
        return self.state >= Lifecycle.DRAINING

    def check_open(self) -> None:
        """Raise `Closed` unless the calling code may use the hub. Handlers may use it until it has drained."""
        if self.reason and not self.topics.drains:
            raise Closed("this hub", self.reason.replace("its hub", "it", 1))

    def check_thread(self) -> None:
        """Raise `WrongThread` when code outside of the hub's event loop declares on the open hub."""
        if not self.reason and not self.topics.is_here():
            raise WrongThread("declare on the open hub")

    def own(self, task: asyncio.Task[Any]) -> None:
        """Register ``task``: closing cancels it if it has not ended."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def moved(self) -> None:
        """Note that a call has ended, so that `wait_until` checks again."""
        if self.progress is not None:
            self.progress.set()

    async def until(self, idle: Callable[[], bool]) -> None:
        """Return when ``idle()`` is true. It is called again after every call of a handler."""
        progress = self.progress = self.progress or asyncio.Event()
        self._waiting += 1
        try:
            while not idle():
                progress.clear()
                await progress.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.progress = None

    async def call_ends(self, seconds: float) -> bool:
        """Wait until a call of a handler ends, at most ``seconds``. Return whether one has."""
        answers = iter((False,))
        try:
            async with asyncio.timeout(seconds):
                await self.until(lambda: next(answers, True))
        except TimeoutError:
            return False
        return True

    async def wait_until(self, idle: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``idle()`` is true, at most ``timeout`` seconds, while the hub drains. Return its last result."""
        try:
            async with asyncio.timeout(timeout):
                await self.until(idle)
        except TimeoutError:
            return False
        finally:
            self.state = Lifecycle.CLOSING
        return True

    async def cancel(self) -> None:
        """Cancel the tasks of handlers and commands, and wait until they have ended. Calls that run in processes are
        killed, and calls that run in threads are abandoned.
        """
        for task in self.tasks:
            task.cancel()
        self.threads.abandon()
        self.processes.abandon()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def calls_nothing(self) -> bool:
        """True when no call runs or waits in a thread or a process."""
        return self.threads.idle and self.processes.idle

    async def end_pools(self) -> None:
        """End the threads and the processes. Called after `cancel`."""
        await self.processes.close()
        await self.threads.close()

    def topic(self, name: str) -> Topic[Any]:
        """Return the topic or pattern of this name; create it if it is new. Raises `BadName`."""
        return self.topics.get(name, None)

    def transaction(self, timeout: float | None = None) -> Transaction:
        """Return a new transaction. ``timeout`` in seconds bounds entering it. Raises `Misuse`, `Closed`."""
        self.check_open()
        self.require("transactions", "transactions")
        return Transaction(self.topic, self.topics.publish_due, self.engine, self.connection, timeout)

    def records(self, feature: str) -> Records:
        """Return the records of the engine. Raises `Misuse`, naming ``feature``, when the engine has none."""
        self.require(feature, "records")
        return self.engine.records or self._lacks(feature, "records")

    def store(self, feature: str) -> Store:
        """Return the store of the engine. Raises `Misuse`, naming ``feature``, when the engine has none."""
        return self.engine.store or self._lacks(feature, "store")

    def outbox(self, feature: str) -> TransactionOutbox:
        """Return the outbox of the engine. Raises `Misuse`, naming ``feature``, when the engine has none."""
        self.require(feature, "sql", "shared")
        return self.engine.outbox or self._lacks(feature, "outbox")

    def groups(self, feature: str) -> Groups:
        """Return the consumer groups of the engine. Raises `Misuse`, naming ``feature``, when the engine has none."""
        self.require(feature, "groups")
        return self.engine.groups or self._lacks(feature, "groups")

    def require(self, feature: str, *guarantees: str) -> None:
        """Raise `Misuse`, naming ``feature`` and the missing guarantee, unless the engine declares all guarantees."""
        declared = self.engine.guarantees
        for guarantee in guarantees:
            if not getattr(declared, guarantee):
                declared.require(guarantee, f"{feature} on {self.address!r}")

    def _lacks(self, feature: str, guarantee: str) -> NoReturn:
        raise Misuse(
            f"use {feature} on {self.address!r}",
            f"this engine has no {guarantee}; use another, such as sqlite:///file.db",
        )
