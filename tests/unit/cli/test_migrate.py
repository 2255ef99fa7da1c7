"""``telex migrate``: the SQL for a new schema, and what stands in the way of making it."""

import pytest

from telex.engines.postgres import migrations
from telex.engines.postgres.address import parse
from tests.unit.cli.conftest import Telex

URL = "postgresql://admin:secret@127.0.0.1:1/shop?schema=orders"


def test_the_sql_is_printed_and_nothing_is_connected_to(telex: Telex) -> None:
    ran = telex("migrate", URL, "--sql")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == migrations.script(parse(URL), 0, None)
    assert "orders" in ran.out
    assert "GRANT" not in ran.out


def test_the_sql_grants_the_schema_to_the_role(telex: Telex) -> None:
    ran = telex("migrate", URL, "--sql", "--role", "shop")
    assert ran.code == 0
    assert ran.out == migrations.script(parse(URL), 0, "shop")
    assert 'TO "shop"' in ran.out


def test_the_database_is_named_by_the_environment_too(telex: Telex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_URL", URL)
    assert telex("migrate", "--sql").out == telex("migrate", URL, "--sql").out


@pytest.mark.parametrize("url", ["sqlite:///shop.db", "memory://", "shop"])
def test_only_a_database_of_postgresql_has_a_schema_to_make(telex: Telex, url: str) -> None:
    ran = telex("migrate", url)
    assert (ran.code, ran.out) == (2, "")
    assert "postgresql://user@host/database" in ran.err


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_line_without_the_password(telex: Telex) -> None:
    ran = telex("migrate", URL)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1
    assert "127.0.0.1:1" in ran.err
    assert "secret" not in ran.err
