"""Commands on a file: the topics that are in it."""

import asyncio
import json
from pathlib import Path

import pytest

import telex as library
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file with three topics."""
    url = f"sqlite:///{tmp_path}/shop.db"

    async def make() -> None:
        async with library.Hub(url) as hub:
            for number, name in enumerate(("orders:2", "orders:1", "refunds")):
                await hub.topic(name).publish({"number": number}, headers={"by": "test"}, key="k")

    asyncio.run(make())
    return url


def test_topics_of_a_file(telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # No server is asked, wherever it may be.
    monkeypatch.setenv("TELEX_SERVER", "ws://127.0.0.1:1/ws")
    ran = telex("topics", "--url", url)
    assert (ran.code, ran.out, ran.err) == (0, "orders:1\norders:2\nrefunds\n", "")
    assert json.loads(telex("topics", "orders:*", "--json", "--url", url).out) == ["orders:1", "orders:2"]
    assert telex("topics", "nothing:*", "--url", url).out == ""
    assert json.loads(telex("topics", "nothing:*", "--json", "--url", url).out) == []


def test_topics_asks_the_server_unless_it_is_given_a_file(
    telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEX_URL", url)
    assert telex("topics", "--server", "ws://127.0.0.1:1/ws").code == 3


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--url", "sqlite:///there/is/none.db"), 1, "there is no file"),
        (("--url", "nats://x"), 2, "--url sqlite:///file.db"),
        (("--url", "sqlite:///a.db", "--server", "ws://127.0.0.1:1/ws"), 2, "not both"),
        ((">:a", "--url", "sqlite:///a.db"), 2, "last token"),
    ],
)
def test_refusals_name_the_mend(telex: Telex, options: tuple[str, ...], code: int, said: str) -> None:
    ran = telex("topics", *options)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
