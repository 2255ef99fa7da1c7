"""Options that several commands have."""

import pytest

from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("command", [("pub", "a", "1"), ("sub", "a")], ids=" ".join)
def test_a_place_to_publish_is_named_once(telex: Telex, shop_url: str, command: tuple[str, ...]) -> None:
    ran = telex(*command, "--url", shop_url, "--server", "ws://127.0.0.1:1/ws")
    assert ran.code == 2
    assert "not both" in ran.err
    assert telex(*command, "--url", "nats://x").code == 2
    assert telex("sub", "a", "--url", "sqlite:///there/is/none.db").code == 1
    assert telex("pub", "a", "1", "--url", "sqlite:///there/is/none.db").code == 3
