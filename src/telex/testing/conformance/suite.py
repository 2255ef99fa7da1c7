"""The base of every test of the suite: a place, an event loop, and a check that nothing is left behind."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from telex.engines.contract import Engine, Groups, Guarantees, Records, Store
from telex.hub import Hub
from telex.message import Message
from telex.testing.conformance.rig import Rig

S = TypeVar("S", bound="Suite")

HANGS_AFTER = 60.0
"""Seconds that one test may take on a loaded machine; in full size, ten times as long."""
FULL = "full"


def promise(
    *needs: str, slow: bool = False
) -> Callable[[Callable[[S], Coroutine[Any, Any, None]]], Callable[[S], None]]:
    """Make a coroutine a test: a plain method that runs it in a loop of its own, where an engine declares ``needs``:
    the names of `Guarantees`, ``store`` for engines that have one, ``outage`` where the suite has `Suite.outage`.
    ``slow``: over a quarter of a second.
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
    """`promise` for a test that makes its loops itself."""

    def decorate(test: Callable[[S], None]) -> Callable[[S], None]:
        test.needs = needs  # type: ignore[attr-defined]
        test.slow = slow  # type: ignore[attr-defined]
        return test

    return decorate


class Undeclared(msgspec.Struct, frozen=True):
    """A test that an engine is not held to, and the guarantees for want of which it is not."""

    test: str
    lacks: tuple[str, ...]


class Suite:
    """The base of all parts of the suite. A subclass that has an `engine` keeps the tests of what that declares; the
    others are None in it, so that no test runner finds them.
    """

    place: Path
    """The folder for the data of this test: empty, with a name that no other test has."""
    patience: ClassVar[float] = 10.0
    """The longest time in seconds until a message that one engine stored reaches the feed of another."""

    def engine(self) -> Engine:
        """A new engine, not open, on the data of `place`: called twice, and declared ``shared`` or ``durable``, the two
        have the same topics. To be given by a subclass. It is also called once without a place, to be asked what it
        declares.
        """
        raise NotImplementedError("a conformance suite is given its engine: def engine(self) -> telex.engines.Engine")

    def unopenable(self) -> Iterable[Engine]:
        """New engines whose `open` fails, each for a reason of its own: a silent host, a file that is something else.
        They must not stand in the way of `engine`. Override it where opening can fail.
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
        """Before each test: `place` is made. Override it, and `teardown_method`, for what is not a folder."""
        self.place = Path(tempfile.mkdtemp(prefix="telex-conformance-"))

    def teardown_method(self) -> None:
        """After each test: `place` goes."""
        shutil.rmtree(self.place)

    # -- what tests use

    def run(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function in a new loop in debug mode, and see that it leaves no task, timer that fails,
        thread or descriptor behind."""
        complaints: list[str] = []
        limit = HANGS_AFTER * self.size(1, 10)

        async def watched() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(
                lambda _, context: complaints.append(f"{context['message']}: {context.get('exception') or ''}")
            )
            loop.slow_callback_duration = limit  # a slow machine is no fault of the engine
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
        """``small``, or ``full`` where the environment says ``TELEX_CONFORMANCE=full``."""
        return full if os.environ.get("TELEX_CONFORMANCE") == FULL else small

    def hub(self, **options: Any) -> Hub:
        """A hub on an engine of this test."""
        return Hub(self.engine(), **options)

    @asynccontextmanager
    async def rig(self) -> AsyncIterator[Rig]:
        """An engine of this test that is open, with a feed that remembers its calls."""
        async with Rig(self.engine(), self.patience) as rig:
            yield rig


def promises(suite: type[Suite]) -> dict[str, Callable[[Any], None]]:
    """All tests of a suite by name, those that are None in it too."""
    found: dict[str, Callable[[Any], None]] = {}
    for base in reversed(suite.__mro__):
        found |= {name: value for name, value in vars(base).items() if hasattr(value, "needs")}
    return found


def undeclared(engine: Engine, suite: type[Suite]) -> list[Undeclared]:
    """The tests of ``suite`` that ``engine`` is not held to, since it does not declare what they need."""
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
    raise AssertionError(f"this was to raise {' or '.join(error.__name__ for error in errors)}, and did not")


def has_store(rig: Rig) -> Store:
    """The store of an engine whose tests need one."""
    assert rig.engine.store is not None, "the engine has no store"
    return rig.engine.store


async def read_range(rig: Rig, topic: str, first: int, end: int) -> list[Message[Any]]:
    """The messages that the engine's store reads, none of them damaged."""
    found = await has_store(rig).read(topic, first, end)
    messages = [item for item in found if isinstance(item, Message)]
    assert len(messages) == len(found), "the store cannot read what it was given"
    return messages


def has_groups(rig: Rig) -> Groups:
    """The groups of an engine that declares them."""
    assert rig.engine.groups is not None, "the engine declares groups and has none"
    return rig.engine.groups


def has_records(rig: Rig) -> Records:
    """The records of an engine that declares them."""
    assert rig.engine.records is not None, "the engine declares records and has none"
    return rig.engine.records


def open_descriptors() -> list[str]:
    """The open descriptors of this process, on Linux; else none."""
    found = []
    folder = Path("/proc/self/fd")
    for entry in folder.iterdir() if folder.exists() else ():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return sorted(found)


def left_behind(threads: set[threading.Thread], descriptors: list[str]) -> None:
    """Fail when there are more threads and descriptors than before."""
    for thread in set(threading.enumerate()) - threads:
        thread.join(1)  # a thread that is ending gets the time for it
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
