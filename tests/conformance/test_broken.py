"""The list of broken engines is complete. `tests/unit/testing/conformance` has a test file for each part of the suite,
which checks that the part fails on the engines that break its promises.
"""

import pytest

from telex.testing.conformance import Conformance
from telex.testing.conformance.suite import Suite, promises
from tests.conformance.broken import PassingEngine, all_broken
from tests.conformance.catching import cases, over_pretend, over_sqlite


@pytest.mark.parametrize("broken", all_broken(), ids=lambda broken: broken.__name__)
def test_every_broken_engine_names_the_tests_that_fail(broken: type[PassingEngine]) -> None:
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


def test_every_test_has_a_docstring() -> None:
    assert all(test.__doc__ for test in promises(Conformance).values())


@pytest.mark.slow
def test_every_broken_engine_is_caught_by_the_part_of_the_suite_that_has_the_test() -> None:
    parts = [base for base in Conformance.__bases__ if issubclass(base, Suite)]
    assert sum(len(cases(part)) for part in parts) == len(cases(*parts))
    for part in parts:
        assert cases(part), f"no engine breaks a promise of {part.__name__}"
