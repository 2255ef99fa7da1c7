"""Twenty attackers for a few seconds; `python -m tests.faults.attackers` does it for five minutes."""

import pytest

from telex.gateway import DEFAULT_LIMITS
from tests.faults.attackers import SERVERS, run


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_attackers_cost_no_more_than_they_may(server: str) -> None:
    result = run(server, 4.0, every=0.5)
    assert result.during > 0.0, "the client that behaves was served"
    assert max(memory for _, memory, _ in result.samples) < 200.0
    # Connections without a request, those with one, and what the server itself has open.
    assert max(descriptors for _, _, descriptors in result.samples) < 2 * DEFAULT_LIMITS.handshakes
    assert result.ended_well, (result.code, result.ended)
