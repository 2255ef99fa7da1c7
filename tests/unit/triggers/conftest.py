"""The virtual clock of the tests of triggers, and the file that several programs share."""

from pathlib import Path

import pytest

from telex.testing.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/triggers.db"


@pytest.fixture
def ahead() -> list[float]:
    """The seconds by which the clock of a hub is put forward."""
    return [0.0]
