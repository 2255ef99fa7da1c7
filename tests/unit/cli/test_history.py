"""`telex history`, and messages that come after it."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import typer

import telex as library
from tests.support.server import ENVIRONMENT
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


def test_history_goes_on(shop_url: str) -> None:
    command = [sys.executable, "-m", "telex", "history", "orders:1", "--follow", "--json", "--url", shop_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["content"] == {"number": 1}
        with library.blocking.Hub(shop_url) as hub:
            hub.topic("orders:1").publish("more")
        assert json.loads(follower.stdout.readline())["content"] == "more"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130


def test_history_and_what_comes_look_alike(telex: Telex, shop_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = telex("history", "orders:1", "--url", shop_url).out
    # The reader of the first line ends it.
    real = typer.echo

    def interrupt(line: str) -> None:
        real(line)
        raise KeyboardInterrupt

    monkeypatch.setattr("telex.cli.printing.typer.echo", interrupt)
    assert telex("history", "orders:1", "--last", "1", "--follow", "--url", shop_url).out == kept


def test_a_damaged_message_is_reported_and_the_rest_is_printed(telex: Telex, shop_url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as connection:
        connection.execute("UPDATE telex_messages SET content = '{\"number' WHERE content LIKE '%1%'")
    ran = telex("history", "orders:1", "--url", shop_url)
    assert (ran.code, ran.out) == (1, "")
    assert "message 1 of 'orders:1' failed: the content is damaged" in ran.err
    ran = telex("export", "--url", shop_url)
    assert (ran.code, len(ran.out.splitlines())) == (1, 2)
    ran = telex("check", str(tmp_path / "shop.db"))
    assert ran.code == 1
    assert "message 1 of topic 'orders:1' cannot be read" in ran.out + ran.err
