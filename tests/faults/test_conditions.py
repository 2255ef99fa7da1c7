"""A short form of `tests.faults.conditions`, in each run of the tests."""

import random
from pathlib import Path

import pytest

from tests.faults.conditions import run


@pytest.mark.slow
def test_no_change_is_lost_and_each_rise_fires_once_whoever_dies(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    count = run(tmp_path, 6, seed)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"
    assert count.kills >= 3
    assert count.rises >= 20
    assert count.keys >= 5
