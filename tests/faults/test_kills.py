"""What was acknowledged outlives the process that was told so."""

import random
from pathlib import Path

import pytest

from tests.faults.kills import kill_often


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "?synchronous=normal"])
def test_nothing_that_was_acknowledged_is_lost_by_kill(tmp_path: Path, options: str) -> None:
    seed = random.randrange(2**32)
    count = kill_often(tmp_path, 8, seed, options)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"
    assert count.acknowledged > 100
    assert count.handled >= count.acknowledged
