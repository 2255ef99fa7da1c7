"""The tests of stores see engines that break their promises."""

import pytest

from telex.testing.conformance import Conformance
from telex.testing.conformance.store import StoreTests
from tests.conformance.catching import cases, outcome


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "test"), cases(StoreTests))
def test_a_broken_engine_is_caught(suite: type[Conformance], test: str) -> None:
    assert outcome(suite, test) is not None, "the engine is broken, and the test passes"
