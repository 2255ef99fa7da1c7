"""A short form of `tests.faults.limits`, in each run of the tests."""

import random
from pathlib import Path

import pytest

from tests.faults.limits import run


@pytest.mark.slow
def test_no_more_calls_begin_and_run_than_a_limit_allows_whoever_dies(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    count = run(f"sqlite:///{tmp_path}/limits.db", tmp_path, 4, seed)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"
    assert count.kills >= 4
    assert count.calls >= 40
