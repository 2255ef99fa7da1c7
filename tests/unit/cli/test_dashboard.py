"""`telex dashboard`: who may open it, and its password."""

from pathlib import Path

import pytest

from telex.chat.page import load
from telex.cli.app import run
from telex.cli.dashboard import create_app
from tests.support.asgi import stream

PASSWORD = "a long secret of the test"


@pytest.fixture(autouse=True)
def files_are_read() -> None:
    for package in ("telex.dashboard", "telex.chat"):
        load(package)


async def test_with_a_password_the_page_needs_its_cookie(tmp_path: Path) -> None:
    app = create_app(f"sqlite:///{tmp_path}/telex.db", PASSWORD, ())
    async with app.router.lifespan_context(app):
        for path, query, cookie, status in (
            ("/", "", "", 403),
            ("/", "password=wrong", "", 403),
            ("/", f"password={PASSWORD}", "", 303),
            ("/", "", "telex-dashboard=wrong", 403),
            ("/", "", f'telex-dashboard="{PASSWORD}"', 200),
        ):
            headers = {"host": "localhost", "cookie": cookie, "x-forwarded-for": "203.0.113.5"}
            found, _ = await stream(app, path, query=query, headers=headers)
            assert (found, query, cookie) == (status, query, cookie)


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
