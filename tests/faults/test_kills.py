"""Acknowledged messages after kill -9 of the process, and after a power loss of the machine."""

import random
from pathlib import Path

import pytest

from tests.faults.fulldisk import fill_often
from tests.faults.kills import kill_often, together
from tests.faults.power import lose_power

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("options", ["", "?synchronous=normal"])
def test_nothing_that_was_acknowledged_is_lost_by_kill(tmp_path: Path, options: str) -> None:
    seed = random.randrange(2**32)
    count = kill_often(tmp_path, 5, seed, options)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"
    assert count.acknowledged > 50
    assert count.handled >= count.acknowledged


def test_nothing_that_was_acknowledged_is_lost_with_the_power(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    count = lose_power(tmp_path, 5, seed)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"
    assert count.acknowledged > 50


def test_a_full_disk_loses_nothing_and_ends_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    count = fill_often(tmp_path, 2, seed)
    assert not count.problems, f"seed {seed}: {count.problems[:5]}"
    assert count.acknowledged
    assert count.kills, "nothing was refused: the disk was not full"


def test_without_syncs_the_power_takes_something(tmp_path: Path) -> None:
    """The shim does throw away what was not synced: else the test above could not fail."""
    assert lose_power(tmp_path, 3, 1, "?synchronous=normal").problems


def test_processes_share_a_file(tmp_path: Path) -> None:
    count = together(tmp_path, 4, 1000)
    assert not count.problems, count.problems[:5]
    assert count.handled >= count.acknowledged >= 1000
