"""The suite is tested: each engine of tests/conformance/broken.py breaks one promise, and the tests that are meant for
it see that, on every engine that it can be put over."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from telex.engines import Engine
from telex.engines.sqlite import SQLiteEngine
from telex.testing.conformance import Conformance
from telex.testing.conformance.suite import Suite, promises
from tests.conformance.broken import LEFT, PassingEngine, all_broken
from tests.support.pretend import PretendEngine, Server, server_that_is_down

Wrap = Callable[[Any], Any]


def over_pretend(wrap: Wrap) -> type[Conformance]:
    """The suite on a wrapped engine that pretends."""

    class OverPretend(Conformance):
        test_what_was_acknowledged_survives_kill = None  # type: ignore[assignment]
        test_settlements_and_records_survive_kill = None  # type: ignore[assignment]
        patience = 0.6

        def engine(self) -> Engine:
            if not hasattr(self, "server"):
                self.server = Server()
            engine: Engine = wrap(PretendEngine(self.server))
            return engine

        @asynccontextmanager
        async def outage(self) -> AsyncIterator[None]:
            self.server.stop()
            yield
            self.server.start()

        def unopenable(self) -> list[Engine]:
            return [wrap(PretendEngine(server_that_is_down()))]

    return OverPretend


def over_sqlite(wrap: Wrap) -> type[Conformance]:
    """The suite on a wrapped SQLite engine."""

    class OverSQLite(Conformance):
        patience = 1.0

        def engine(self) -> Engine:
            engine: Engine = wrap(SQLiteEngine.from_url(f"sqlite:///{self.place}/telex.db"))
            return engine

        def unopenable(self) -> list[Engine]:
            return [wrap(SQLiteEngine.from_url(f"sqlite:///{self.place}"))]

    return OverSQLite


def outcome(suite: type[Conformance], test: str) -> BaseException | None:
    """Run one test of a suite, as pytest does; what it raised."""
    case = suite()
    case.setup_method()
    try:
        getattr(case, test)()
    except (AssertionError, ValueError, TimeoutError) as error:
        return error
    finally:
        while LEFT:
            LEFT.pop()()
        case.teardown_method()
    return None


CASES = [
    pytest.param(over(broken), test, id=f"{broken.__name__}-{over.__name__}-{test}")
    for broken in all_broken()
    for over in (over_pretend, over_sqlite)
    for test in broken.caught_by
    if getattr(over(broken), test) is not None
]


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "test"), CASES)
def test_every_broken_engine_is_caught(suite: type[Conformance], test: str) -> None:
    assert outcome(suite, test) is not None, "the engine is broken, and the test passes"


@pytest.mark.parametrize("broken", all_broken(), ids=lambda broken: broken.__name__)
def test_every_broken_engine_is_put_to_the_test(broken: type[PassingEngine]) -> None:
    assert broken.__doc__
    assert broken.caught_by
    for test in broken.caught_by:
        assert test in promises(Conformance), f"there is no {test}"
        assert any(getattr(over(broken), test) is not None for over in (over_pretend, over_sqlite))


TestNotBrokenOverPretend = over_pretend(PassingEngine)


def test_no_test_hides_another() -> None:
    parts = [base for base in Conformance.__bases__ if issubclass(base, Suite)]
    names = [name for part in parts for name in vars(part) if name.startswith("test_")]
    assert len(names) == len(set(names)) == len(promises(Conformance))


def test_every_test_says_what_it_holds() -> None:
    assert all(test.__doc__ for test in promises(Conformance).values())
