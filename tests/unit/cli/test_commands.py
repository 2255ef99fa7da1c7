"""pub, sub and topics against a running server."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from uuid import uuid4

import pytest

from telex.cli.client import Client, check_url
from telex.gateway.protocol import ListTopics, TopicList
from tests.support.server import ENVIRONMENT, ChatServer
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def server_of_this_run(server: ChatServer, telex: Telex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_SERVER", server.gateway)


@pytest.fixture
def topic() -> str:
    return f"test:{uuid4().hex}"


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


@pytest.mark.parametrize(
    ("given", "options", "content"),
    [("42", (), 42), ("42", ("--text",), "42"), ("hello", (), "hello"), ('{"a', (), '{"a'), ("null", (), None)],
)
def test_json_or_text(telex: Telex, topic: str, given: str, options: tuple[str, ...], content: object) -> None:
    assert telex("pub", topic, given, *options).code == 0
    assert json.loads(telex("sub", topic, "--since", "1", "--count", "1", "--json").out)["content"] == content


def test_the_same_id_is_stored_once(telex: Telex, topic: str) -> None:
    assert "#1" in telex("pub", topic, "a", "--id", "one").out
    assert "#1" in telex("pub", topic, "a", "--id", "one").out


def standard_input(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data))


def test_a_line_that_is_no_text(telex: Telex, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", standard_input(b"a\n\n\xff\xfe\nb\n"))
    ran = telex("pub", topic, "-")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "line 3 of standard input is not UTF-8" in ran.err
    read = telex("sub", topic, "--since", "earliest", "--timeout", "0.2", "--json")
    assert [json.loads(line)["content"] for line in read.out.splitlines()] == ["a"]


def test_a_message_that_is_too_large(telex: Telex, topic: str) -> None:
    ran = telex("pub", topic, "x" * 70_000)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "takes at most 65536; split it" in ran.err


def test_lines_of_standard_input(telex: Telex, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than the gateway takes at once: what is refused for its rate is sent again.
    lines = [f"line {number}" for number in range(25)]
    monkeypatch.setattr(sys, "stdin", standard_input("\n".join(lines).encode() + b"\n\n"))
    done = telex("pub", topic, "-")
    assert (done.code, done.out) == (0, "")
    read = telex("sub", topic, "--since", "earliest", "--count", "25", "--json")
    assert [json.loads(line)["content"] for line in read.out.splitlines()] == lines


def test_people_can_read_it_and_terminals_are_safe(telex: Telex, topic: str) -> None:
    telex("pub", topic, "red \x1b[31m and \u202e back", "--text")
    out = telex("sub", topic, "--since", "1", "--count", "1").out
    assert f"{topic} #1" in out
    assert "\x1b" not in out
    assert "\\x1b[31m" in out
    assert "\\u202e" in out


def test_a_pattern_is_followed_live(telex: Telex, server: ChatServer) -> None:
    mark = uuid4().hex
    command = [sys.executable, "-m", "telex", "sub", f"{mark}:*", "--count", "2", "--json", "--server", server.gateway]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as follower:
        # It follows as soon as what is published comes out; until then the same ids are stored once.
        ended = threading.Event()

        def publish() -> None:
            number = 0
            while not ended.is_set():
                telex("pub", f"{mark}:{number % 2}", str(number))
                number += 1

        publisher = threading.Thread(target=publish)
        publisher.start()
        assert follower.stdout is not None
        lines = [json.loads(follower.stdout.readline()) for _ in range(2)]
        ended.set()
        publisher.join()
        assert follower.wait(20) == 0
    assert lines[1]["content"] == lines[0]["content"] + 1


def test_names_in_the_chat_room(telex: Telex) -> None:
    room = f"chatroom:{uuid4().hex}"
    assert telex("pub", room, "noon", "--name", "Clock").code == 0
    assert telex("pub", room, "42", "--name", "Clock").code == 0
    read = telex("sub", room, "--since", "10m", "--count", "2", "--json").out.splitlines()
    assert [json.loads(line)["content"] for line in read] == [
        {"name": "Clock", "text": "noon"},
        {"name": "Clock", "text": "42"},
    ]


def test_timeouts(telex: Telex, topic: str) -> None:
    assert telex("sub", topic, "--timeout", "50ms").code == 0
    ran = telex("sub", topic, "--timeout", "0.05", "--count", "3")
    assert ran.code == 4
    assert ran.err == "telex: 0.05 s are over, and 3 of 3 messages have not come\n"


REFUSED = [
    (("pub", "a b", "x"), 2, "whitespace"),
    (("pub", "a:*", "x"), 2, "for patterns"),
    (("pub", "a", "x", "--header", "no"), 2, "name=value"),
    (("pub", "a", "-", "--id", "1"), 2, "an id is for one message"),
    (("pub", "presence:x", "1"), 1, "only the server publishes"),
    (("pub", "chatroom:x", "{}"), 1, "has a name"),
    (("pub", "telex:x", "1"), 1, "do not let you publish"),
    (("sub", "telex:x"), 1, "do not let you subscribe"),
    (("sub", "a", "--since", "soon"), 2, "10m"),
    (("sub", "a::b"), 2, "empty token"),
    (("sub", "a", "--count", "0"), 2, "--count"),
    (("topics", ">:a"), 2, "last token"),
    (("topics", "--server", "ftp://x"), 2, "ws://127.0.0.1:8000/ws"),
    (("topics", "--server", "ws://127.0.0.1:99999/ws"), 2, "Port out of range"),
    (("topics", "--server", "ws://127.0.0.1:0/ws"), 2, "ws://127.0.0.1:8000/ws"),
    (("topics", "--server", "ws://[::1/ws"), 2, "ws://127.0.0.1:8000/ws"),
    (("topics", "--connect-timeout", "0"), 2, "more than 0"),
    (("sub", "a", "--timeout", "soon"), 2, "'5m'"),
    (("sub", "a", "--timeout", "nan"), 2, "finite"),
    (("pub", "a", "\udcff"), 2, "UTF-8"),
    (("pub", "a", "b", "--header", "x=\udcff"), 2, "UTF-8"),
    (("shout",), 2, "No such command"),
]


@pytest.mark.parametrize(
    ("command", "code", "said"), REFUSED, ids=[ascii(" ".join(command)) for command, _, _ in REFUSED]
)
def test_refusals_name_the_mend(telex: Telex, command: tuple[str, ...], code: int, said: str) -> None:
    ran = telex(*command)
    assert ran.code == code
    assert said in ran.err
    assert ran.out == ""


def test_the_address_of_the_page_will_do(server: ChatServer) -> None:
    assert check_url(server.page) == server.gateway
    assert check_url("127.0.0.1:8000") == "ws://127.0.0.1:8000/ws"
    assert check_url("https://a.example/chat/ws") == "wss://a.example/chat/ws"


def test_interrupted(server: ChatServer) -> None:
    command = [sys.executable, "-m", "telex", "sub", "a", "--since", "earliest", "--server", server.gateway]
    with Client(server.gateway, 5) as client:
        client.request(ListTopics(), TopicList)
    with subprocess.Popen(
        [sys.executable, "-m", "telex", "pub", "interrupted:x", "1", "--server", server.gateway],
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
    ) as publisher:
        assert publisher.wait(20) == 0
    command[4] = "interrupted:x"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert follower.stdout.readline()
        os.kill(follower.pid, signal.SIGINT)
        assert follower.wait(20) == 130
        assert "Traceback" not in follower.stderr.read()


def test_who_reads_the_output_may_stop(server: ChatServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "telex", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as helped:
        assert helped.stdout is not None
        assert helped.stderr is not None
        helped.stdout.close()
        assert helped.wait(20) == 1
        assert helped.stderr.read() == b""
