"""Connecting to a server: one clear line for each obstacle, in time; and coming back."""

import itertools
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import pytest
from websockets.sync.server import ServerConnection, serve

from telex import ConnectFailed, Timeout
from telex.cli import client
from telex.cli.client import Gone, check_url, follow
from telex.gateway.protocol import Messages, Reply, Subscribe, Subscribed
from tests.support.server import ChatServer
from tests.unit.cli.conftest import Telex


@pytest.mark.slow
@pytest.mark.usefixtures("server_of_this_run")
def test_the_address_of_the_page_will_do(server: ChatServer) -> None:
    assert check_url(server.page) == server.gateway
    assert check_url("127.0.0.1:8000") == "ws://127.0.0.1:8000/ws"
    assert check_url("https://a.example/chat/ws") == "wss://a.example/chat/ws"


COMMANDS = [("topics",), ("pub", "a", "1"), ("sub", "a")]


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


@pytest.mark.slow
def test_a_server_that_accepts_and_says_nothing(telex: Telex) -> None:
    with websocket_server(None) as url:
        ran = telex("topics", "--server", url, "--connect-timeout", "0.2")
    assert ran.code == 3
    assert ran.err == f"telex: cannot connect to {url}: it accepts the connection, and sends nothing for 0.2 s\n"


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
    assert "not a WebSocket server" in ran.err


@pytest.mark.slow
def test_the_wrong_path(telex: Telex, server: ChatServer) -> None:
    ran = telex("topics", "--server", server.gateway.removesuffix("/ws") + "/chat")
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert "is the path right? A chat room has the path /ws" in ran.err


def test_a_host_that_is_unknown(telex: Telex) -> None:
    ran = telex("topics", "--server", "ws://no-such-host.invalid:8000/ws", "--connect-timeout", "2")
    assert ran.code == 3
    assert ran.err.count("\n") == 1


class Clock:
    """The time that the client sees: it passes only by sleeping and waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


class Server:
    """A server in place of a connection to one: it sends one message, is gone, and is silent for ``away`` seconds."""

    def __init__(self, clock: Clock, away: float) -> None:
        self.clock, self.away, self.since = clock, away, list[object]()

    def __call__(self, url: str, timeout: float) -> Self:
        self.timeout = timeout
        return self

    def __enter__(self) -> Self:
        if self.since and self.clock.now < self.away:
            self.clock.sleep(self.timeout)
            raise ConnectFailed("ws://x", "no answer")
        return self

    def __exit__(self, *_: object) -> None: ...

    def request(self, frame: Subscribe, answer: type[Subscribed], deadline: float) -> Subscribed:
        self.since.append(frame.since)
        return Subscribed(frame.topic, f"e:{len(self.since)}")

    def next(self, timeout: float | None) -> Reply:
        if timeout is not None and timeout <= 0:
            raise Timeout("waiting", timeout)
        self.clock.sleep(0.1)
        if self.clock.now > 0.15 and len(self.since) == 1:
            raise Gone("ws://x", 1012, "it restarts")
        return Messages("a", f"e:{10 * len(self.since)}", [{}])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(client, "time", clock)
    return clock


@pytest.mark.parametrize("deadline", [0.3, 1.0, 7.0, 20.0])
def test_retries_end_at_the_deadline(clock: Clock, deadline: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "Client", Server(clock, away=1e9))
    frames = follow("ws://x", "a", "new", 5.0, deadline)
    assert isinstance(next(frames), Messages)
    assert isinstance(next(frames), Gone)
    with pytest.raises(Timeout):
        next(frames)
    assert clock.now == pytest.approx(deadline, abs=0.06)


def test_it_comes_back_to_where_it_was(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(clock, away=3.0)
    monkeypatch.setattr(client, "Client", server)
    frames = follow("ws://x", "a", "earliest", 5.0, None)
    assert [type(next(frames)) for _ in range(3)] == [Messages, Gone, Messages]
    assert server.since == ["earliest", "e:10"]


def test_it_gives_up_a_server_that_stays_away(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "Client", Server(clock, away=1e9))
    with pytest.raises(ConnectFailed):
        list(follow("ws://x", "a", "new", 5.0, None))
    assert client.RECONNECT_SECONDS < clock.now < client.RECONNECT_SECONDS + 10


class Connections:
    """In the place of `Client`: each connection gives the frames of its turn, and is lost."""

    def __init__(self, turns: list[list[Messages]]) -> None:
        self.since: list[object] = []
        self._turns = iter(turns)

    def __call__(self, url: str, timeout: float) -> Self:
        self._frames = iter(next(self._turns))
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def request(self, frame: Subscribe, kind: type[Subscribed], limit: float) -> Subscribed:
        self.since.append(frame.since)
        return Subscribed(frame.topic, f"begins {len(self.since)}")

    def next(self, timeout: float | None) -> Messages:
        for frame in self._frames:
            return frame
        raise client.Gone("ws://there", 1012, "the server stops")


def test_a_follower_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [[Messages("a", f"{turn}:{number}", []) for number in range(turn)] for turn in (2, 0, 3, 0)]
    connections = Connections(frames)
    monkeypatch.setattr(client, "Client", connections)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    followed = client.follow("ws://there", "a", "earliest", 1.0, None)
    seen = [frame.position for frame in itertools.islice(followed, 9) if isinstance(frame, Messages)]
    followed.close()
    assert seen == ["2:0", "2:1", "3:0", "3:1", "3:2"]
    assert connections.since == ["earliest", "2:1", "begins 2", "3:2"]


def test_nobody_waits_past_the_deadline() -> None:
    for _ in range(20):
        assert 0 <= client.retry_wait(30, math.inf) <= 5.0
        assert 0 <= client.retry_wait(30, time.monotonic() + 0.01) <= 0.01
    with pytest.raises(Timeout, match="connecting again"):
        client.retry_wait(1, time.monotonic())
