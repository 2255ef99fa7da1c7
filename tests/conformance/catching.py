"""The broken engines, each with the tests of the conformance suite that must fail on it."""

from collections.abc import Callable
from typing import Any

import pytest

from telex.engines import Engine
from telex.engines.sqlite import SQLiteEngine
from telex.testing.conformance import Conformance
from telex.testing.conformance.suite import Suite
from tests.conformance.broken import LEFT, all_broken
from tests.support.pretending import Pretending
from tests.support.shifting import Shifting

Wrap = Callable[[Any], Any]


def over_pretend(wrap: Wrap) -> type[Conformance]:
    """Return the suite on a wrapped `PretendEngine`."""

    class OverPretend(Pretending, Conformance):
        test_acknowledged_messages_survive_kill = None  # type: ignore[assignment]
        test_settlements_and_records_survive_kill = None  # type: ignore[assignment]
        patience = 0.6

        def engine(self) -> Engine:
            engine: Engine = wrap(super().engine())
            return engine

        def unopenable(self) -> list[Engine]:
            return [wrap(engine) for engine in super().unopenable()]

    return OverPretend


def over_sqlite(wrap: Wrap) -> type[Conformance]:
    """Return the suite on a wrapped SQLite engine."""

    class OverSQLite(Shifting, Conformance):
        patience = 1.0

        def engine(self) -> Engine:
            engine: Engine = wrap(self.shifted(SQLiteEngine.from_url(f"sqlite:///{self.place}/telex.db")))
            return engine

        def unopenable(self) -> list[Engine]:
            return [wrap(SQLiteEngine.from_url(f"sqlite:///{self.place}"))]

    return OverSQLite


def outcome(suite: type[Conformance], test: str) -> BaseException | None:
    """Run one test of a suite, as pytest does. Return the error that it raised, or None."""
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


def cases(*parts: type[Suite]) -> list[Any]:
    """Return the arguments for ``parametrize``: suites of broken engines, each with a test that must fail."""
    return [
        pytest.param(over(broken), test, id=f"{broken.__name__}-{over.__name__}-{test}")
        for broken in all_broken()
        for over in (over_pretend, over_sqlite)
        for test in broken.caught_by
        if any(test in vars(part) for part in parts) and getattr(over(broken), test) is not None
    ]
