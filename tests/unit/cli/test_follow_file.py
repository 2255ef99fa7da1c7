"""New messages of a file."""

import json
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Lines, Telex

pytestmark = pytest.mark.slow


def test_a_file_is_published_to_and_followed(telex: Telex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_SERVER", "ws://127.0.0.1:1/ws")  # no server is asked
    shop_url = f"sqlite:///{tmp_path}/new.db"
    done = telex(
        "pub", "orders:1", '{"item": "tea"}', "--header", "by=test", "--id", "one", "--json", "--url", shop_url
    )
    assert (done.code, json.loads(done.out)) == (0, {"topic": "orders:1", "id": "one", "seq": 1})
    assert telex("pub", "orders:1", "again", "--id", "one", "--url", shop_url).out.startswith("orders:1 #1 ")
    monkeypatch.setattr(sys, "stdin", Lines(b"first\n2\n"))
    assert telex("pub", "orders:2", "-", "--url", shop_url).code == 0
    read = telex("sub", "orders:*", "--since", "earliest", "--count", "3", "--json", "--url", shop_url)
    messages = [json.loads(line) for line in read.out.splitlines()]
    assert [message["content"] for message in messages] == [{"item": "tea"}, "first", 2]
    assert messages[0]["headers"] == {"by": "test"}
    ran = telex("sub", "orders:1", "--count", "1", "--timeout", "0.01", "--url", shop_url)
    assert (ran.code, ran.out) == (4, "")
    assert telex("sub", "orders:1", "--timeout", "0", "--url", shop_url).code == 0
    lost = telex("sub", "orders:2", "--since", "0123456789abcdef:1", "--count", "2", "--json", "--url", shop_url)
    assert json.loads(lost.out.splitlines()[0])["lost"]["reason"] == "epoch"
