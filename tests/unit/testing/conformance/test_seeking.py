"""The tests of groups that are moved see engines that break their promises."""

import pytest

from telex.testing.conformance import Conformance
from telex.testing.conformance.seeking import SeekTests
from tests.conformance.catching import cases, outcome


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "test"), cases(SeekTests))
def test_a_broken_engine_is_caught(suite: type[Conformance], test: str) -> None:
    assert outcome(suite, test) is not None, "the engine is broken, and the test passes"
