"""The base of every test of the suite: a place, an event loop, and a check that nothing is left behind."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from telex.engines.contract import Engine, Groups, Guarantees, Settlement
from telex.engines.contract.groups import Action
from telex.hub import Hub
from telex.log.log import NEVER
from telex.message import Lost, Message, Reason
from telex.testing.conformance.rig import LeaseClock, Rig

S = TypeVar("S", bound="Suite")

HANGS_AFTER = 60.0
"""The seconds that one test may take on a loaded machine; in full size, ten times as long."""
FULL = "full"


def promise(
    *needs: str, slow: bool = False
) -> Callable[[Callable[[S], Coroutine[Any, Any, None]]], Callable[[S], None]]:
    """Make a test of a coroutine: a plain method that runs the coroutine in a loop of its own. ``needs`` are the
    guarantees (names of `Guarantees`, or ``store``) without which the test does not apply. ``slow``: it takes over a
    quarter of a second.
    """
    unknown = set(needs) - {*Guarantees.__struct_fields__, "store", "outage"}
    assert not unknown, f"there is no guarantee {unknown}"

    def decorate(test: Callable[[S], Coroutine[Any, Any, None]]) -> Callable[[S], None]:
        @functools.wraps(test)
        def run(self: S) -> None:
            self.run(functools.partial(test, self))

        return needing(*needs, slow=slow)(run)

    return decorate


def needing(*needs: str, slow: bool = False) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
    """Make a test of a plain method that makes its loops itself; otherwise as `promise`."""

    def decorate(test: Callable[[S], None]) -> Callable[[S], None]:
        test.needs = needs  # type: ignore[attr-defined]
        test.slow = slow  # type: ignore[attr-defined]
        return test

    return decorate


class Undeclared(msgspec.Struct, frozen=True):
    """A test that does not apply to an engine, and the guarantees that the engine does not declare."""

    test: str
    lacks: tuple[str, ...]


class Suite:
    """The base of all parts of the suite. A subclass with an `engine` keeps the tests of the guarantees that the engine
    declares. The other tests are None in it, so that no test runner finds them.
    """

    place: Path
    """The folder for the data of this test: empty, with a name that no other test has."""
    patience: ClassVar[float] = 10.0
    """The longest time in seconds until an engine delivers a message that another engine stored."""

    tick: ClassVar[float] = 0.1
    """The length, in seconds, of one second of the tests of leases and delays. Their leases last up to 30 of them."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the leases and delays of all engines of this test. Override it, and `tick`, for an engine
        whose clock can be set forward.
        """
        await asyncio.sleep(seconds)

    def engine(self) -> Engine:
        """Return a new engine, not open, on the data of `place`. Two engines that declare ``shared`` or ``durable``
        have the same topics. A subclass implements this method. It is also called without a place, to read the
        guarantees.
        """
        raise NotImplementedError("write the method that returns the engine: def engine(self) -> telex.engines.Engine")

    def unopenable(self) -> Iterable[Engine]:
        """Return new engines whose `open` fails, each for another reason: a silent host, a file of another program.
        They must not affect the engines of `engine`. Override it where opening can fail.
        """
        return ()

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Keep the open engines of this test from their server, while the block runs; nothing that is stored is lost.
        Override it where an engine has a server.
        """
        raise NotImplementedError("this engine has no server to be kept from")
        yield

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.engine is Suite.engine:
            return
        probe = cls()
        probe.place = Path(tempfile.gettempdir()) / "telex-conformance-never-opened"
        lacking = {entry.test for entry in undeclared(probe.engine(), cls)}
        for name, test in promises(cls).items():
            if name not in cls.__dict__:
                setattr(cls, name, None if name in lacking else test)

    # -- a fresh place for every test

    def setup_method(self) -> None:
        """Create `place` before each test. Override it, and `teardown_method`, for a place that is not a folder."""
        self.place = Path(tempfile.mkdtemp(prefix="telex-conformance-"))

    def teardown_method(self) -> None:
        """Remove `place` after each test."""
        shutil.rmtree(self.place)

    # -- for the tests

    def run(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function in a new loop in debug mode. Fail when it leaves a task, a failing timer, a thread
        or a descriptor behind.
        """
        complaints: list[str] = []
        limit = HANGS_AFTER * self.size(1, 10)

        async def watched() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(
                lambda _, context: complaints.append(f"{context['message']}: {context.get('exception') or ''}")
            )
            loop.slow_callback_duration = limit  # a slow machine is not a fault of the engine
            async with asyncio.timeout(limit):
                await test()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, "tasks left behind: " + ", ".join(sorted(map(repr, left)))

        threads, descriptors = set(threading.enumerate()), open_descriptors()
        with asyncio.Runner(debug=True) as runner:
            runner.run(watched())
        assert not complaints, "the event loop complained: " + "; ".join(complaints)
        left_behind(threads, descriptors)

    def size(self, small: int, full: int) -> int:
        """Return ``small``; in full size (``TELEX_CONFORMANCE=full``) return ``full``."""
        return full if os.environ.get("TELEX_CONFORMANCE") == FULL else small

    def hub(self, **options: Any) -> Hub:
        """Return a hub on an engine of this test."""
        return Hub(self.engine(), **options)

    @asynccontextmanager
    async def rig(self, follow: Sequence[str] = (">",)) -> AsyncIterator[Rig]:
        """Enter an open engine of this test, with a `Rig` that follows these names and records the calls."""
        if not hasattr(self, "clock"):
            self.clock: LeaseClock = LeaseClock(self.tick, self.pass_time)
        async with Rig(self.engine(), self.patience, self.clock, follow) as rig:
            yield rig


def promises(suite: type[Suite]) -> dict[str, Callable[[Any], None]]:
    """Return all tests of a suite by name, also those that are None in it."""
    found: dict[str, Callable[[Any], None]] = {}
    for base in reversed(suite.__mro__):
        found |= {name: value for name, value in vars(base).items() if hasattr(value, "needs")}
    return found


def undeclared(engine: Engine, suite: type[Suite]) -> list[Undeclared]:
    """Return the tests of ``suite`` that do not apply to ``engine``, since it does not declare the needed
    guarantees.
    """
    declared = {name for name in Guarantees.__struct_fields__ if getattr(engine.guarantees, name)}
    if engine.store is not None:
        declared.add("store")
    if suite.outage is not Suite.outage:
        declared.add("outage")
    left_out = []
    for name, test in sorted(promises(suite).items()):
        lacks = tuple(need for need in test.needs if need not in declared)  # type: ignore[attr-defined]
        if lacks:
            left_out.append(Undeclared(name, lacks))
    return left_out


@contextmanager
def refused(*errors: type[BaseException]) -> Iterator[None]:
    """Fail unless the block raises one of ``errors``."""
    try:
        yield
    except errors:
        return
    raise AssertionError(f"it did not raise {' or '.join(error.__name__ for error in errors)}")


def numbers(messages: Iterable[Message[Any]]) -> list[int]:
    """Return the numbers of messages. Fail unless each is larger than the number before."""
    found = [message.seq for message in messages]
    assert all(before < after for before, after in pairwise([0, *found])), f"numbers do not rise: {found}"
    return found


def check_lost(item: object, reason: Reason, missing: Sequence[Message[Any]], before: int = 0) -> None:
    """Fail unless ``item`` is the `Lost` of exactly the messages ``missing``, which come after number ``before``."""
    assert isinstance(item, Lost)
    assert (item.count, item.reason) == (len(missing), reason)
    assert before < item.first <= missing[0].seq, f"it begins at {item.first}"
    assert item.last >= missing[-1].seq, f"it ends at {item.last}"


async def read_all(rig: Rig, topic: str) -> list[Message[Any]]:
    """Return all messages that the engine's store reads, page by page."""
    read: list[Message[Any]] = []
    while more := await read_range(rig, topic, read[-1].seq + 1 if read else 1):
        read += more
    return read


async def read_range(rig: Rig, topic: str, first: int = 1, end: int = NEVER) -> list[Message[Any]]:
    """Return the messages that the engine's store reads; none may be damaged."""
    found = await rig.store.read(topic, first, end)
    messages = [item for item in found if isinstance(item, Message)]
    assert len(messages) == len(found), "the store cannot read what it was given"
    return messages


async def settle_dead(groups: Groups, group: str, pattern: str, position: int, action: Action) -> bool:
    """Retry or drop a dead letter. Return whether this won."""
    (won,) = await groups.settle(group, pattern, (Settlement(position, 0, action),))
    return won


def open_descriptors() -> list[str]:
    """Return the open descriptors of this process on Linux, else an empty list."""
    found = []
    folder = Path("/proc/self/fd")
    for entry in folder.iterdir() if folder.exists() else ():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return sorted(found)


def left_behind(threads: set[threading.Thread], descriptors: list[str]) -> None:
    """Fail when there are more threads or descriptors than before."""
    for thread in set(threading.enumerate()) - threads:
        thread.join(1)  # a thread that is ending gets some time
    running = [thread.name for thread in set(threading.enumerate()) - threads]
    assert not running, f"threads left behind: {running}"
    left = open_descriptors()
    if len(left) > len(descriptors):
        gc.collect()
        left = open_descriptors()
    for known in descriptors:
        if known in left:
            left.remove(known)
    left = [entry for entry in left if not entry.startswith("/dev/")]
    assert not left, f"descriptors left behind: {left}"
