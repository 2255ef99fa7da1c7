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


def test_the_variable_names_the_file_unless_a_server_is_named(
    telex: Telex, shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEX_URL", shop_url)
    assert telex("topics", "--json") == telex("topics", "--json", "--url", shop_url)
    assert telex("pub", "orders:1", "2").code == 0
    assert "1 of 1 message did not come" in telex("sub", "refunds", "--count", "1", "--timeout", "0.01").err
    for command in (("topics",), ("pub", "a", "1"), ("sub", "a")):
        assert telex(*command, "--server", "ws://127.0.0.1:1/ws").code == 3
        with monkeypatch.context() as patched:
            patched.setenv("TELEX_SERVER", "ws://127.0.0.1:1/ws")
            assert telex(*command).code == 3
            assert telex("topics", "--url", shop_url).code == 0


@pytest.mark.parametrize(
    "command",
    [
        *("pub", "sub", "topics", "send", "jobs", "dead", "follow", "history", "groups", "triggers", "schedules"),
        *("dashboard", "export", "import", "check", "compact", "once show", "jobs list", "dead retry", "schedules add"),
    ],
)
def test_help_names_the_variable_of_the_file(telex: Telex, command: str) -> None:
    assert "TELEX_URL" in telex(*command.split(), "--help").out
