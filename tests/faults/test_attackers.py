"""Twenty attackers for a few seconds; `python -m tests.faults.attackers` does it for five minutes."""

import pytest

from tests.faults.attackers import SERVERS, run


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_attackers_cost_no_more_than_they_may(server: str) -> None:
    result = run(server, 6.0, every=0.5)
    assert result.faults(timing=False) == []
