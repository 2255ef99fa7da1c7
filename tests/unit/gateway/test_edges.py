"""Edges of the gateway, one each; `tests/mutants/hand.py` names the bug that each finds."""

import asyncio
import re
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

import telex
from telex.gateway import AccessRules, Authorizer, CloseCode, Commands, Gateway, Limits, Peer, Refused
from telex.gateway.auth import check_handshake
from telex.gateway.commands import problem_for
from telex.gateway.limits import TokenBucket
from telex.gateway.protocol import Close, Error, Ping, Session
from telex.gateway.server import MIN_BYTES_PER_SECOND, BoundedWebSocket, Stalled
from telex.gateway.sockets import addresses, cut_off
from telex.gateway.topic_quota import TopicQuota
from telex.testing.clock import VirtualClock
from tests.support.websocket import PROGRAM, WebSocketClient

PAGE = Path(__file__).parents[3] / "docs" / "gateway.md"
TEXT = PAGE.read_text()  # files are not read on the event loop
OURS, THEIRS = "http://127.0.0.1:8000", "https://evil.example"


@pytest.mark.parametrize(("origins", "accepted"), [((OURS, THEIRS), True), ((THEIRS, OURS), False)])
async def test_of_two_origins_the_first_counts_for_a_websocket(origins: tuple[str, str], accepted: bool) -> None:
    async with telex.Hub() as hub:
        client = WebSocketClient(Gateway(hub), PROGRAM)
        headers = client.scope["headers"]
        assert isinstance(headers, list)
        headers += [(b"origin", origin.encode()) for origin in origins]
        async with client:
            assert client.accepted is accepted


@pytest.mark.parametrize(("origins", "status"), [((OURS, THEIRS), 404), ((THEIRS, OURS), 403)])
async def test_of_two_origins_the_first_counts_for_http(origins: tuple[str, str], status: int) -> None:
    async with telex.Hub() as hub:
        transport = httpx.ASGITransport(Commands(hub, rules=AccessRules(call=(">",))), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url=OURS) as client:
            headers = [("origin", origin) for origin in origins] + [("content-type", "application/json")]
            assert (await client.post("/nothing", content=b"1", headers=headers)).status_code == status


async def test_an_operation_that_takes_too_long_is_answered_with_timeout() -> None:
    class Slow(Authorizer):
        async def sees(self, topic: str) -> object:
            return await asyncio.Event().wait()

    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=AccessRules(), authorizer=Slow, limits=Limits(operation_timeout=0.01))
        async with WebSocketClient(gateway) as client:
            answer = await client.ask("subscribe", topic="slow")
            assert (answer["op"], answer["code"], answer["retry_after"]) == ("error", "timeout", 1.0)
            assert (await client.ask("ping"))["op"] == "pong"


def test_a_client_that_waits_as_it_was_told_is_never_closed() -> None:
    session, now = Session(Limits(rate=1, burst=1, strikes=3), 0.0), 0.0
    for _ in range(5):
        assert session.receive('{"op":"ping"}', now) == Ping()
        refused: object = None
        for _ in range(2):
            refused = session.receive('{"op":"ping"}', now)
        assert isinstance(refused, Error)
        now += refused.retry_after or 0.0
    answers = [session.receive('{"op":"ping"}', now - 1) for _ in range(3)]
    assert isinstance(answers[-1], Close), "and one that does not wait is"


UNITS = {"": 1, "s": 1, "a second": 1, "in a row": 1, "KiB": 1024, "MiB": 1024**2}
BOUND = re.compile(r"`(\w+)`(?:, | \| )([\d ]*\d) ?(KiB|MiB|s\b|a second|in a row|)")


def test_the_limits_are_those_of_the_page() -> None:
    fields = Limits.__struct_fields__
    found = {
        name: int(number.replace(" ", "")) * UNITS[unit] for name, number, unit in BOUND.findall(TEXT) if name in fields
    }
    assert {"frame_bytes", "idle", "connections", "outbox_bytes", "write_timeout", "strikes", "rate"} <= set(found)
    assert {"body_bytes", "requests", "command_timeout", "outcomes", "burst"} <= set(found)
    assert found == {name: getattr(Limits(), name) for name in found}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (telex.BadOption("key", None, "it runs once"), "idempotency-key-needed"),
        (telex.BadOption("key", "x", "too long"), "malformed"),
        (telex.BadOption("content", None, "it is missing"), "malformed"),
        (telex.BadName("a b", "white space"), "malformed"),
    ],
)
def test_only_a_missing_key_asks_for_one(error: telex.TelexError, kind: str) -> None:
    problem = problem_for(error, "build")
    assert problem.status == 400
    assert kind in problem.body.decode()


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({"client": ("10.0.0.1", 5), "server": ("10.0.0.2", 80)}, (("10.0.0.1", 5), ("10.0.0.2", 80))),
        ({"client": ("10.0.0.1", 5), "server": ("10.0.0.2", 80), "http_version": "2"}, None),
        ({"client": ("10.0.0.1", 0), "server": ("10.0.0.2", 80)}, None),
        ({"client": ("10.0.0.1", 5), "server": ("10.0.0.2", None)}, None),
        ({"client": ("10.0.0.1", 5), "server": ("/run/a.sock", 0)}, None),
        ({"client": None, "server": ("10.0.0.2", 80)}, None),
        ({"client": ("10.0.0.1", 5)}, None),
        ({}, None),
    ],
)
def test_which_connections_have_a_socket_of_their_own(scope: dict[str, Any], found: object) -> None:
    assert addresses(scope) == found


class Buffered:
    """A transport whose client takes so many bytes a second of what is buffered."""

    def __init__(self, clock: VirtualClock, rate: float) -> None:
        self.aborted: float | None = None
        self._clock, self._rate, self._begun = clock, rate, clock()

    def get_write_buffer_size(self) -> int:
        return int(10**6 - self._rate * (self._clock() - self._begun))

    def abort(self) -> None:
        self.aborted = self._clock() - self._begun


@pytest.mark.parametrize(("rate", "aborted"), [(0, True), (0.5, True), (1.5, False)])
def test_a_client_that_takes_too_little_is_cut_off(rate: float, aborted: bool) -> None:
    clock = VirtualClock()

    async def main() -> None:
        transport: Any = Buffered(clock, rate * MIN_BYTES_PER_SECOND)
        stalled = Stalled(transport, 10.0)
        await asyncio.sleep(60)
        stalled.close()
        assert (transport.aborted is not None) is aborted
        assert transport.aborted is None or 10 < transport.aborted < 25

    clock.run(main())


def test_a_client_that_lets_the_server_write_on_is_not_cut_off() -> None:
    clock = VirtualClock()

    async def main() -> None:
        transport: Any = Buffered(clock, 0)
        stalled = Stalled(transport, 10.0)
        for _ in range(60):
            stalled.drained()
            await asyncio.sleep(1)
        stalled.close()
        assert transport.aborted is None

    clock.run(main())


class Reading:
    """A transport that notes when it is read from."""

    def __init__(self, clock: VirtualClock) -> None:
        self.resumed: list[float] = []
        self._clock = clock

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None:
        self.resumed.append(self._clock())


def test_a_client_that_pings_too_often_is_read_when_it_has_paid_for_all() -> None:
    clock = VirtualClock()

    async def main() -> None:
        connection: Any = BoundedWebSocket.__new__(BoundedWebSocket)
        connection._bucket = TokenBucket(1.0, 1, asyncio.get_running_loop().time())
        connection._patience, connection._unread = None, b""
        connection.transport, connection.read_paused, connection.writable = Reading(clock), False, asyncio.Event()
        connection.writable.set()
        begun = clock()
        for _ in range(4):
            connection._count()
        await asyncio.sleep(60)
        assert connection.transport.resumed == [begun + 3.0]

    clock.run(main())


def test_only_the_sockets_that_are_due_are_cut_off() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        clients = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(2)]
        served = [stack.enter_context(listener.accept()[0]) for _ in range(2)]
        due = {(served[0].getpeername(), served[0].getsockname())}
        assert cut_off([]) == 0
        assert cut_off(due) == 1
        assert clients[0].recv(1) == b""
        served[1].sendall(b"x")
        assert clients[1].recv(1) == b"x"
        served[0].close()
        assert cut_off(due) == 0


async def test_clients_fill_as_many_topics_as_the_limit_says() -> None:
    async with telex.Hub() as hub:
        quota = TopicQuota(hub, 3)
        for name in ("a", "b", "c"):
            await quota.take(name)
            await hub.topic(name).publish(1)
        with pytest.raises(Refused, match="fill 3 topics"):
            await quota.take("d")
        await quota.take("c")  # it is there


def test_close_codes_are_those_of_the_page() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d{4}) \|", TEXT, re.MULTILINE)}
    assert codes == {int(code) for code in CloseCode}
    assert (CloseCode.FAULT, CloseCode.RESTART, CloseCode.BINARY, CloseCode.TOO_LARGE) == (1011, 1012, 1003, 1009)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (telex.NoHandler("build"), 404),
        (telex.KeyConflict("build", "a"), 422),
        (telex.InProgress("build", "a"), 409),
        (telex.ContentError("build", "no number"), 422),
        (telex.Closed("this hub", "it was closed"), 503),
        (telex.EngineFailed("writing", "the disk is full"), 503),
    ],
)
def test_each_error_has_its_status(error: telex.TelexError, status: int) -> None:
    assert problem_for(error, "build").status == status


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "same"),
    [
        ("http://10.0.0.1", "10.0.0.1:80", "ws", True),
        ("http://10.0.0.1:80", "10.0.0.1", "http", True),
        ("http://10.0.0.1", "10.0.0.1:81", "ws", False),
        ("https://10.0.0.1", "10.0.0.1:443", "wss", True),
        ("http://10.0.0.1:8000", "10.0.0.1:8000", "ws", True),
    ],
)
def test_a_missing_port_is_that_of_the_scheme(origin: str, host: str, scheme: str, same: bool) -> None:
    peer = Peer("10.0.0.9", {"host": host, "origin": origin}, scheme)
    assert (check_handshake(peer) is None) is same
