"""The clock of the tests of groups, which is moved."""

import time
from collections.abc import Callable

import pytest

from tests.support.shell import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Clock]:
    """Makes the clock of the loop and that of leases one."""

    def make() -> Clock:
        made, real = Clock(), time.time
        monkeypatch.setattr("telex.hub.time", lambda: real() + made.ahead)  # what a hub takes that is given none
        return made

    return make
