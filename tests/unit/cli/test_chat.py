"""`telex chat` as a process."""

import json
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from telex.cli.client import Client, Gone, follow
from telex.gateway.protocol import LostFrame, Messages, Publish, Published
from tests.support.server import ENVIRONMENT, WITHIN, ChatServer

pytestmark = pytest.mark.slow


def chat(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telex", "chat", *options]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=WITHIN, check=False)


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = chat("--port", str(port))
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert f"port {port} is in use" in ran.stderr
    assert "--port" in ran.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_other_machines_are_let_in_only_when_asked_for(host: str) -> None:
    ran = chat("--host", host, "--port", "0")
    assert ran.returncode == 2
    assert "--expose" in ran.stderr


def test_an_address_that_is_not_here() -> None:
    for host in ("192.0.2.1", "no-such-host.invalid"):
        ran = chat("--host", host, "--port", "0", "--expose")
        assert ran.returncode == 1
        assert "--host 127.0.0.1" in ran.stderr


def test_an_unknown_engine_is_one_line() -> None:
    ran = chat("--url", "carrier-pigeon://loft", "--port", "0")
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1


def test_exposing_the_chat_room_is_warned_of() -> None:
    command = [sys.executable, "-m", "telex", "chat", "--host", "0.0.0.0", "--expose", "--port", "0", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["page"].startswith("http://127.0.0.1:")
        process.terminate()
        assert process.wait(WITHIN) == 0
        assert "no passwords" in process.stderr.read()


def test_a_stop_is_clean_and_says_come_back() -> None:
    with ChatServer() as server, Client(server.gateway, 5) as client:
        assert server.stop() == 0
        with pytest.raises(Gone) as gone:
            client.next(WITHIN)
    assert gone.value.code == 1012
    assert gone.value.come_back


def test_a_follower_comes_back_after_the_server_was_killed() -> None:
    with ChatServer() as server:
        publish(server.gateway, "before")
        with closing(follow(server.gateway, "a", "earliest", 5.0, None)) as followed:
            assert contents(next(followed)) == ["before"]
            server.kill()
            assert isinstance(next(followed), Gone)
            server.start()
            publish(server.gateway, "after")
            lost = next(frame for frame in followed if not isinstance(frame, Gone))
            assert isinstance(lost, LostFrame)
            assert lost.reason == "epoch"
            assert contents(next(followed)) == ["after"]


def publish(url: str, content: str) -> None:
    with Client(url, 5) as client:
        client.request(Publish("a", content), Published)


def contents(frame: object) -> list[str]:
    assert isinstance(frame, Messages)
    return [message["content"] for message in frame.messages]
