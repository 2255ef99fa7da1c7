"""A short form of `tests.faults.timers`, in each run of the tests."""

import random
from pathlib import Path

import pytest

from tests.faults.timers import run


@pytest.mark.slow
def test_each_instant_is_fired_once_whoever_dies(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    count = run(tmp_path, 7, seed)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"
    assert count.kills >= 4
    assert count.stops >= 1
    assert count.pauses >= 1
    assert count.by_hand >= 1
    assert count.needed >= 30
    assert count.handled >= 10
