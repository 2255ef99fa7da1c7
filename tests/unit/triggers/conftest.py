"""What tests of triggers share."""

import pytest

from telex.testing.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
