"""`telex dashboard`: who may open it, and its password."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from telex.chat import server
from telex.chat.page import load
from telex.cli.app import run
from telex.cli.dashboard import create_app
from tests.support.asgi import stream

PASSWORD = "a long & odd + secret; \u044f #1"


@pytest.fixture(autouse=True)
def files_are_read() -> None:
    for package in ("telex.dashboard", "telex.chat"):
        load(package)


async def test_with_a_password_the_page_needs_a_cookie_that_does_not_have_the_password(tmp_path: Path) -> None:
    app = create_app(f"sqlite:///{tmp_path}/telex.db", PASSWORD, ())
    transport = httpx.ASGITransport(app, client=("203.0.113.5", 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        for cookie in ("", "a@b=1", f"telex-dashboard={PASSWORD}", "telex-dashboard=\u044f", '\\"'):
            answer = await client.get("/", headers=httpx.Headers([(b"cookie", cookie.encode())]))
            assert (answer.status_code, "open the whole address" in answer.text, cookie) == (403, True, cookie)
        assert (await client.get("/?password=wrong")).status_code == 403
        answer = await client.get("/", params={"password": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "./")
        cookie = answer.headers["set-cookie"]
        assert "secret" not in cookie
        assert "httponly; path=/; samesite=strict" in cookie.lower()
        answer = await client.get("/", headers={"cookie": f"a@b=1; {cookie.partition(';')[0]}"})
        assert answer.status_code == 200


def test_the_printed_address_has_the_password_as_the_server_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "serve", lambda app, listener, limits, ready: (listener.close(), ready()))
    (tmp_path / "telex.db").touch()
    url = f"sqlite:///{tmp_path}/telex.db"
    assert run(["dashboard", "--url", url, "--port", "0", "--json", "--password", PASSWORD]) == 0
    query = urlsplit(json.loads(capsys.readouterr().out)["page"]).query
    assert parse_qs(query, strict_parsing=True) == {"password": [PASSWORD]}


async def test_without_a_password_only_this_machine_may_see_it(tmp_path: Path) -> None:
    app = create_app(f"sqlite:///{tmp_path}/telex.db", None, ())
    async with app.router.lifespan_context(app):
        assert (await stream(app, "/", headers={"host": "localhost"}))[0] == 200
        assert (await stream(app, "/", headers={"host": "localhost", "forwarded": "for=203.0.113.5"}))[0] == 403


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--url", "sqlite:///no-such-file.db"], "there is no file"),
        (["--url", "sqlite:///shop.db", "--host", "0.0.0.0"], "add --expose to allow it with a password"),
        (["--url", "sqlite:///shop.db", "--password", "short"], "at least 16 characters"),
    ],
)
def test_mistakes_are_told_with_their_fix(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["dashboard", *arguments]) != 0
    assert problem in " ".join(capsys.readouterr().err.split())
