"""Lines, tables and reports."""

import pytest

from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


def test_an_empty_list_and_a_bare_path_say_what_is_meant(telex: Telex, shop_url: str) -> None:
    for command, what in (
        (("groups",), "groups"),
        (("dead", "list"), "dead letters"),
        (("topics", "x:*"), "such topics"),
    ):
        assert telex(*command, "--url", shop_url) == (0, "", f"telex: there are no {what}\n")
    assert "--url sqlite:///shop.db," in telex("history", "a", "--url", "shop.db").err
