"""The base of the suite: which tests an engine is held to, and what a test may not leave behind."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from telex.engines import Engine
from telex.engines.contract import Guarantees
from telex.engines.memory.engine import MemoryEngine
from telex.testing.conformance.rig import Rig
from telex.testing.conformance.suite import (
    Suite,
    Undeclared,
    left_behind,
    open_descriptors,
    promise,
    promises,
    read_range,
    refused,
    undeclared,
)


class Parts(Suite):
    """A suite of three tests."""

    @promise()
    async def test_of_all(self) -> None:
        """All engines."""

    @promise("durable")
    async def test_of_durable(self) -> None:
        """Durable ones."""

    @promise("store", "groups")
    async def test_of_stores_with_groups(self) -> None:
        """Those with a store."""


class OnMemory(Parts):
    def engine(self) -> Engine:
        return MemoryEngine()


class Bare(MemoryEngine):
    """An engine that declares nothing."""

    guarantees = Guarantees(**dict.fromkeys(Guarantees.__struct_fields__, False))

    def __init__(self) -> None:
        super().__init__()
        self.groups = self.records = None


def test_a_test_whose_guarantee_is_not_declared_is_none() -> None:
    assert callable(OnMemory.test_of_all)
    assert OnMemory.test_of_durable is None
    assert OnMemory.test_of_stores_with_groups is None
    assert set(promises(OnMemory)) == {"test_of_all", "test_of_durable", "test_of_stores_with_groups"}


def test_a_guarantee_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AssertionError, match="there is no guarantee"):
        promise("durabel")


def test_undeclared_tests_are_listed_with_the_guarantees_that_are_missing() -> None:
    assert undeclared(MemoryEngine(), Parts) == [
        Undeclared("test_of_durable", ("durable",)),
        Undeclared("test_of_stores_with_groups", ("store",)),
    ]
    assert [entry.lacks for entry in undeclared(Bare(), Parts)] == [("durable",), ("store", "groups")]


def test_an_engine_with_a_store_is_held_to_the_tests_of_stores() -> None:
    engine: Any = MemoryEngine()
    engine.store = object()
    assert undeclared(engine, Parts) == [Undeclared("test_of_durable", ("durable",))]


def test_a_test_that_a_subclass_sets_to_none_is_still_a_promise() -> None:
    class Without(OnMemory):
        test_of_all = None  # type: ignore[assignment]  # as a user leaves one out

    assert Without.test_of_all is None
    assert "test_of_all" in promises(Parts)


def test_a_suite_without_an_engine_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match="def engine"):
        Suite().engine()
    assert list(Suite().unopenable()) == []


def test_each_test_has_an_empty_folder_that_goes_with_it() -> None:
    first, second = OnMemory(), OnMemory()
    for case in (first, second):
        case.setup_method()
        assert list(case.place.iterdir()) == []
    assert first.place != second.place
    (first.place / "data").write_text("x")
    for case in (first, second):
        case.teardown_method()
        assert not case.place.exists()


def test_a_task_that_is_left_behind_fails_the_test() -> None:
    async def leave() -> None:
        keep.append(asyncio.create_task(asyncio.Event().wait()))

    keep: list[asyncio.Task[object]] = []
    with pytest.raises(AssertionError, match="tasks left behind"):
        OnMemory().run(leave)


def test_a_callback_that_fails_fails_the_test() -> None:
    async def fail() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match=r"the event loop complained: .*division by zero"):
        OnMemory().run(fail)


def test_a_descriptor_that_is_left_behind_fails_the_test(tmp_path: Path) -> None:
    before = open_descriptors()
    with (tmp_path / "held").open("w"), pytest.raises(AssertionError, match=r"descriptors left behind: .*held"):
        left_behind(set(threading.enumerate()), before)
    left_behind(set(threading.enumerate()), before)


@pytest.mark.slow
def test_a_thread_that_is_left_behind_fails_the_test_and_one_that_ends_does_not() -> None:
    before, goes_on = set(threading.enumerate()), threading.Event()
    thread = threading.Thread(target=goes_on.wait, name="forgotten", daemon=True)
    thread.start()
    with pytest.raises(AssertionError, match=r"threads left behind: .*forgotten"):
        left_behind(before, open_descriptors())
    goes_on.set()
    left_behind(before, open_descriptors())


def test_the_environment_chooses_the_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEX_CONFORMANCE", raising=False)
    assert OnMemory().size(1, 10) == 1
    monkeypatch.setenv("TELEX_CONFORMANCE", "full")
    assert OnMemory().size(1, 10) == 10


def test_refused_holds_that_one_of_the_errors_is_raised() -> None:
    with refused(KeyError, LookupError):
        raise KeyError
    with pytest.raises(AssertionError, match="did not raise KeyError or OSError"), refused(KeyError, OSError):
        pass
    with pytest.raises(ZeroDivisionError), refused(KeyError):
        raise ZeroDivisionError


async def test_a_declared_part_that_is_missing_is_named() -> None:
    rig = Rig(Bare())
    for part in ("store", "groups", "records"):
        with pytest.raises(AssertionError, match=part):
            getattr(rig, part)
    with pytest.raises(AssertionError, match="store"):
        await read_range(rig, "t", 1, 2)
