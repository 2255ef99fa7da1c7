"""Whatever stands in the way of connecting, it is one clear line, in time, and exit code 3."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection, serve

from tests.support.server import ChatServer
from tests.unit.cli.conftest import Telex

COMMANDS = [("topics",), ("pub", "a", "1"), ("sub", "a")]


@contextmanager
def websocket_server(first: str | None) -> Iterator[str]:
    """A WebSocket server that says ``first``, or nothing."""

    def talk(connection: ServerConnection) -> None:
        if first is not None:
            connection.send(first)
        for _ in connection:
            pass

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_a_dead_port(telex: Telex, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ran = telex(*command, "--server", f"ws://127.0.0.1:{port}/ws")
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert "telex chat" in ran.err


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_a_host_that_takes_the_connection_and_says_nothing(telex: Telex, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/ws"
        began = time.monotonic()
        ran = telex(*command, "--server", url, "--connect-timeout", "0.1")
        assert time.monotonic() - began < 2
    assert ran.code == 3
    assert ran.err == f"telex: cannot connect to {url}: no answer within 0.1 s\n"


@pytest.mark.slow
def test_a_server_that_accepts_and_says_nothing(telex: Telex) -> None:
    with websocket_server(None) as url:
        ran = telex("topics", "--server", url, "--connect-timeout", "0.2")
    assert ran.code == 3
    assert ran.err == f"telex: cannot connect to {url}: it accepts, and says nothing for 0.2 s\n"


@pytest.mark.slow
@pytest.mark.parametrize("first", ['{"op":"hello","version":99,"frame_bytes":1}', "welcome", '{"op":"pong"}'])
def test_a_server_that_speaks_something_else(telex: Telex, first: str) -> None:
    with websocket_server(first) as url:
        ran = telex("topics", "--server", url)
    assert ran.code == 3
    assert "does not speak" in ran.err


@pytest.mark.slow
def test_a_server_that_is_no_websocket(telex: Telex) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        ran = telex("topics", "--server", f"ws://127.0.0.1:{listener.getsockname()[1]}/ws")
        thread.join()
    assert ran.code == 3
    assert "no WebSocket server" in ran.err


@pytest.mark.slow
def test_the_wrong_path(telex: Telex, server: ChatServer) -> None:
    ran = telex("topics", "--server", server.gateway.removesuffix("/ws") + "/chat")
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert "is the path right? A chat room's is /ws" in ran.err


def test_a_host_that_is_unknown(telex: Telex) -> None:
    ran = telex("topics", "--server", "ws://no-such-host.invalid:8000/ws", "--connect-timeout", "2")
    assert ran.code == 3
    assert ran.err.count("\n") == 1
