"""Opening and closing an engine."""

import socket
from time import monotonic
from urllib.parse import quote

import pytest

import telex
from telex.errors import ConnectFailed
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import admin


@pytest.mark.slow
async def test_connecting_fails_with_how_to_fix_it(postgres: str) -> None:
    url = url_of(postgres, "failing")
    async with admin(postgres) as connection:
        await connection.execute("CREATE ROLE weak LOGIN")
        await connection.execute("REVOKE CREATE ON DATABASE postgres FROM PUBLIC")
    for wrong, text in (
        ("postgresql://me:secret@127.0.0.1:1/shop", "see that the server runs there"),
        (url.replace("/postgres?", "/nothing?"), 'database "nothing" does not exist; create it'),
        (url.replace("telex@", "nobody@"), 'role "nobody" does not exist'),
        (url.replace("telex@", "weak@"), "telex migrate URL --sql --role weak"),
        ("postgresql://me:secret@no.such.host.invalid/shop", "see the host's name"),
    ):
        began = monotonic()
        with pytest.raises(ConnectFailed) as raised:
            await telex.Hub(wrong, timeout=2).__aenter__()
        assert monotonic() - began < 2.2
        assert text in str(raised.value)
        assert "secret" not in str(raised.value)


@pytest.mark.slow
async def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        port = mute.getsockname()[1]
        with pytest.raises(telex.Timeout) as raised:
            await telex.Hub(f"postgresql://me:secret@127.0.0.1:{port}/shop?password=secret", timeout=0.1).__aenter__()
        assert "secret" not in str(raised.value)
        began = monotonic()
        with pytest.raises(ConnectFailed, match="nothing answered in time"):
            await telex.Hub(f"postgresql://me@127.0.0.1:{port}/shop?connect_timeout=1").__aenter__()
        assert monotonic() - began < 5


@pytest.mark.slow
async def test_a_stricter_isolation_behind_a_pooler_is_refused(postgres: str) -> None:
    strict = url_of(postgres, "strict_pool") + "&options=-c%20default_transaction_isolation%3Dserializable"
    hub = telex.Hub(strict + "&listen=" + quote(url_of(postgres, "strict_pool").partition("&schema")[0], safe=""))
    with pytest.raises(ConnectFailed, match="ALTER ROLE telex SET default_transaction_isolation = 'read committed'"):
        await hub.__aenter__()
