"""The tests of transactions with records see engines that break their promises."""

import pytest

from telex.testing.conformance import Conformance
from telex.testing.conformance.together import TogetherTests
from tests.conformance.catching import cases, outcome


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "test"), cases(TogetherTests))
def test_a_broken_engine_is_caught(suite: type[Conformance], test: str) -> None:
    assert outcome(suite, test) is not None, "the engine is broken, and the test passes"
