"""Commands on a file."""

import pytest

from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


UNKNOWN = [
    ("topics", "nowhere"),
    ("history", "nowhere"),
    ("history", "nowhere", "--follow"),
    ("export", "nowhere"),
    ("dead", "list", "--group", "nobody"),
    ("dead", "retry", "--group", "nobody"),
    ("dead", "drop", "--group", "nobody"),
    ("groups", "pause", "nobody"),
    ("groups", "resume", "nobody"),
    ("groups", "forget", "nobody", "--yes"),
]


@pytest.mark.parametrize("command", UNKNOWN, ids=" ".join)
def test_an_unknown_topic_or_group_is_an_error(telex: Telex, shop_url: str, command: tuple[str, ...]) -> None:
    ran = telex(*command, "--url", shop_url)
    kind, name = ("topic", "nowhere") if "nowhere" in command else ("group", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"telex: there is no {kind} {name}; `telex {kind}s` lists them\n"
