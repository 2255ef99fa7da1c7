"""`telex pub`, to a server and to a file."""

import io
import json
import sys
from pathlib import Path
from time import time
from uuid import uuid4

import pytest

from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("server_of_this_run")
def test_publish_and_read_again(telex: Telex, topic: str) -> None:
    done = telex("pub", topic, '{"item": "tea", "count": 2}', "--header", "by=test", "--json")
    assert done.code == 0
    assert json.loads(done.out)["seq"] == 1
    read = telex("sub", topic, "--since", "earliest", "--count", "1", "--json")
    message = json.loads(read.out)
    assert message["content"] == {"item": "tea", "count": 2}
    assert message["headers"] == {"by": "test"}
    assert message["id"] == json.loads(done.out)["id"]
    assert topic in telex("topics").out.split()
    assert json.loads(telex("topics", "test:*", "--json").out)
    assert telex("topics", "nothing:*").out == ""


@pytest.mark.usefixtures("server_of_this_run")
@pytest.mark.parametrize(
    ("given", "options", "content"),
    [("42", (), 42), ("42", ("--text",), "42"), ("hello", (), "hello"), ('{"a', (), '{"a'), ("null", (), None)],
)
def test_json_or_text(telex: Telex, topic: str, given: str, options: tuple[str, ...], content: object) -> None:
    assert telex("pub", topic, given, *options).code == 0
    assert json.loads(telex("sub", topic, "--since", "1", "--count", "1", "--json").out)["content"] == content


@pytest.mark.usefixtures("server_of_this_run")
def test_the_same_id_is_stored_once(telex: Telex, topic: str) -> None:
    assert "#1" in telex("pub", topic, "a", "--id", "one").out
    assert "#1" in telex("pub", topic, "a", "--id", "one").out


def standard_input(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data))


@pytest.mark.usefixtures("server_of_this_run")
def test_a_line_that_is_no_text(telex: Telex, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", standard_input(b"a\n\n\xff\xfe\nb\n"))
    ran = telex("pub", topic, "-")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "line 3 of standard input is not UTF-8" in ran.err
    read = telex("sub", topic, "--since", "earliest", "--timeout", "0.2", "--json")
    assert [json.loads(line)["content"] for line in read.out.splitlines()] == ["a"]


@pytest.mark.usefixtures("server_of_this_run")
def test_a_message_that_is_too_large(telex: Telex, topic: str) -> None:
    ran = telex("pub", topic, "x" * 70_000)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "takes at most 65536; split it" in ran.err


@pytest.mark.usefixtures("server_of_this_run")
def test_lines_of_standard_input(telex: Telex, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than the gateway takes at once: what is refused for its rate is sent again.
    lines = [f"line {number}" for number in range(25)]
    monkeypatch.setattr(sys, "stdin", standard_input("\n".join(lines).encode() + b"\n\n"))
    done = telex("pub", topic, "-")
    assert (done.code, done.out) == (0, "")
    read = telex("sub", topic, "--since", "earliest", "--count", "25", "--json")
    assert [json.loads(line)["content"] for line in read.out.splitlines()] == lines


@pytest.mark.usefixtures("server_of_this_run")
def test_names_in_the_chat_room(telex: Telex) -> None:
    room = f"chatroom:{uuid4().hex}"
    assert telex("pub", room, "noon", "--name", "Clock").code == 0
    assert telex("pub", room, "42", "--name", "Clock").code == 0
    read = telex("sub", room, "--since", "10m", "--count", "2", "--json").out.splitlines()
    assert [json.loads(line)["content"] for line in read] == [
        {"name": "Clock", "text": "noon"},
        {"name": "Clock", "text": "42"},
    ]


@pytest.mark.usefixtures("server_of_this_run")
@pytest.mark.parametrize("to_file", [False, True])
def test_a_message_is_published_for_a_limited_time(telex: Telex, topic: str, to_file: bool, tmp_path: Path) -> None:
    where = ("--url", f"sqlite:///{tmp_path}/x.db") if to_file else ()
    assert telex("pub", topic, "a", "--ttl", "10m", *where).code == 0
    assert telex("pub", topic, "a", "--ttl", "600", *where).code == 0
    read = telex("sub", topic, "--since", "earliest", "--count", "1", "--json", *where)
    assert 590 < float(json.loads(read.out)["headers"]["telex-expires"]) - time() <= 600
    refused = telex("pub", topic, "a", "--ttl", "0", *where)
    assert refused.code == 2
    assert "ttl" in refused.err
