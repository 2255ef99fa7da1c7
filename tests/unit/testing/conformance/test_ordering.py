"""The tests of the order of groups see engines that break their promises."""

import pytest

from telex.testing.conformance import Conformance
from telex.testing.conformance.ordering import GroupOrderTests
from tests.conformance.catching import cases, outcome


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "test"), cases(GroupOrderTests))
def test_a_broken_engine_is_caught(suite: type[Conformance], test: str) -> None:
    assert outcome(suite, test) is not None, "the engine is broken, and the test passes"
