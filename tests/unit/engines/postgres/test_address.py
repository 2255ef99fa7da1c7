"""The addresses of servers: settings of libpq, options of telex, and errors that show no password."""

import pytest

import telex
from telex.engines.postgres.address import parse
from telex.errors import BadOption


def test_an_address_has_the_settings_of_libpq_and_its_own() -> None:
    address = parse("postgres://me:secret@db.example:5433/shop?sslmode=require&schema=chat&poll=250ms&connections=4")
    assert (address.schema, address.poll, address.connections, address.pooled) == ("chat", 0.25, 4, False)
    assert address.settings["sslmode"] == "require"
    assert (address.settings["password"], address.settings["port"]) == ("secret", "5433")
    assert address.shown == "postgres://db.example:5433/shop"


def test_an_address_past_a_pooler() -> None:
    address = parse("postgresql://me@pooler/shop?listen=postgresql%3A%2F%2Fme%40db%2Fshop")
    assert (address.settings["host"], address.listening["host"], address.pooled) == ("pooler", "db", True)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://me:secret@db/shop?sslmod=require", "'sslmod' is not an option"),
        ("postgresql://me:sec%ret@db/shop", "percent-encode"),
        ("postgresql://me:secret@db/shop?schema=My-Shop", "lower-case"),
        ("postgresql://me:secret@db/shop?poll=never", "poll"),
        ("postgresql://me:secret@db/shop?poll=0", "bad poll"),
        ("postgresql://me:secret@db/shop?connections=1", "at least 2"),
        ("postgresql://me:secret@db/shop?schema=a&schema=b", "twice"),
    ],
)
def test_a_bad_address_says_what_to_write_and_no_secret(url: str, text: str) -> None:
    with pytest.raises(BadOption, match=text) as raised:
        telex.Hub(url)
    assert "secret" not in str(raised.value)


def test_a_connection_to_an_unreachable_host_ends_soon_unless_the_url_says_otherwise() -> None:
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
    settings = parse("postgresql://me@db/shop").settings
    assert [settings[name] for name in names] == ["10", "5", "3", "20000"]
    assert parse("postgresql://me@db/shop?tcp_user_timeout=5000").settings["tcp_user_timeout"] == "5000"
