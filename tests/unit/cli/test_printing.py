"""Messages on a terminal."""

import pytest

from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("server_of_this_run")
def test_people_can_read_it_and_terminals_are_safe(telex: Telex, topic: str) -> None:
    telex("pub", topic, "red \x1b[31m and \u202e back", "--text")
    out = telex("sub", topic, "--since", "1", "--count", "1").out
    assert f"{topic} #1" in out
    assert "\x1b" not in out
    assert "\\x1b[31m" in out
    assert "\\u202e" in out
