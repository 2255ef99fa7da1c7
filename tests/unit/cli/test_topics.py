"""`telex topics`, of a server and of a file."""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path

import pytest

import telex as library
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


def test_topics_of_a_file(telex: Telex, shop_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # No server is asked, wherever it may be.
    monkeypatch.setenv("TELEX_SERVER", "ws://127.0.0.1:1/ws")
    ran = telex("topics", "--url", shop_url)
    assert (ran.code, ran.err) == (0, "")
    heading, *lines = ran.out.splitlines()
    assert heading.split() == ["TOPIC", "MESSAGES", "BYTES", "LAST"]
    assert [line.split()[:2] for line in lines] == [["orders:1", "1"], ["orders:2", "1"], ["refunds", "1"]]
    found = json.loads(telex("topics", "orders:*", "--json", "--url", shop_url).out)
    assert [topic["topic"] for topic in found] == ["orders:1", "orders:2"]
    assert all(topic["messages"] == 1 and topic["bytes"] >= len('{"number":0}') for topic in found)
    (message,) = [
        json.loads(line) for line in telex("history", "orders:1", "--json", "--url", shop_url).out.splitlines()
    ]
    assert datetime.fromisoformat(found[0]["last"]) == datetime.fromisoformat(message["timestamp"])
    assert telex("topics", "nothing:*", "--url", shop_url).out == ""
    assert json.loads(telex("topics", "nothing:*", "--json", "--url", shop_url).out) == []


def test_topics_asks_the_server_unless_it_is_given_a_file(
    telex: Telex, shop_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEX_URL", shop_url)
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
def test_refusals_name_the_fix(telex: Telex, options: tuple[str, ...], code: int, said: str) -> None:
    ran = telex("topics", *options)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_trimmed_messages_do_not_count(telex: Telex, tmp_path: Path) -> None:
    shop_url = f"sqlite:///{tmp_path}/few.db"

    async def make() -> None:
        async with library.Hub(shop_url) as hub:
            hub.retain("few", messages=2)
            for number in range(10):
                await hub.topic("few").publish(number)
            await hub.topic("gone").publish(1)
            hub.retain("gone", messages=0)

    asyncio.run(make())
    gone, few = sorted(
        json.loads(telex("topics", "--json", "--url", shop_url).out), key=lambda topic: topic["messages"]
    )
    assert (few["topic"], few["messages"], few["bytes"]) == ("few", 2, 2)
    assert gone == {"topic": "gone", "messages": 0, "bytes": 0, "last": None}


@pytest.mark.parametrize("command", ["topics", "groups", "export"])
def test_a_database_without_its_packages_names_them(
    command: str, telex: Telex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ran = telex(command, "--url", "postgresql://db/shop")
    assert (ran.code, "pip install 'telex[postgres]'" in ran.err) == (1, True)
