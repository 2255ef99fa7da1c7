"""Which handshakes are accepted, and what the rules cover."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

import telex
from telex import BadName, Pattern
from telex.gateway import AccessRules, Authorizer, Commands, Gateway, Peer, Refused
from telex.gateway.auth import check_handshake, covers
from tests.support.websocket import PROGRAM, WebSocketClient

HANDSHAKES = {
    "the page itself": ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, True),
    "the page by name": ({"host": "localhost:8000", "origin": "http://localhost:8000"}, True),
    "in capitals": ({"host": "LOCALHOST:8000", "origin": "http://localhost:8000"}, True),
    "IPv6": ({"host": "[::1]:8000", "origin": "http://[::1]:8000"}, True),
    "default port": ({"host": "127.0.0.1", "origin": "http://127.0.0.1"}, True),
    "default port in full": ({"host": "127.0.0.1", "origin": "http://127.0.0.1:80"}, True),
    "TLS ended before it": ({"host": "10.0.0.1", "origin": "https://10.0.0.1"}, True),
    "another address": ({"host": "192.168.1.5:8000", "origin": "http://192.168.1.5:8000"}, True),
    "an allowed name": ({"host": "den.example:8000", "origin": "http://den.example:8000"}, True),
    "an allowed page": ({"host": "127.0.0.1:8000", "origin": "https://other.example"}, True),
    "a program": ({"host": "127.0.0.1:8000"}, True),
    "another page": ({"host": "127.0.0.1:8000", "origin": "https://evil.example"}, False),
    "another port": ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:3000"}, False),
    "its name inside": ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000.evil.example"}, False),
    "its name as a user": ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000@evil.example"}, False),
    "localhost for the address": ({"host": "127.0.0.1:8000", "origin": "http://localhost:8000"}, False),
    "a file": ({"host": "127.0.0.1:8000", "origin": "null"}, False),
    "an empty origin": ({"host": "127.0.0.1:8000", "origin": ""}, False),
    "another scheme": ({"host": "127.0.0.1:8000", "origin": "ftp://127.0.0.1:8000"}, False),
    "a port that is none": ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:x"}, False),
    "a name that was pointed here": ({"host": "evil.example:8000", "origin": "http://evil.example:8000"}, False),
    "a program by a name that was": ({"host": "evil.example:8000"}, False),
    "no host": ({"origin": "http://127.0.0.1:8000"}, False),
    "a broken host": ({"host": "[::1"}, False),
}


@pytest.mark.parametrize(("headers", "allowed"), HANDSHAKES.values(), ids=HANDSHAKES.keys())
def test_handshakes(headers: dict[str, str], allowed: bool) -> None:
    peer = Peer("127.0.0.1", headers)
    problem = check_handshake(peer, origins=["https://other.example"], hosts=["Den.example"], local=True)
    assert (problem is None) is allowed, problem


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.168.1.7", {}),
        ("", {}),
        *(
            ("127.0.0.1", {name: "192.168.1.7"})
            for name in (
                "x-forwarded-for",
                "forwarded",
                "x-real-ip",
                "via",
                "x-forwarded-host",
                "x-forwarded-proto",
                "cf-connecting-ip",
                "true-client-ip",
                "x-original-forwarded-for",
                "x-envoy-external-address",
                "x-amzn-trace-id",
            )
        ),
        ("127.0.0.1", {"host": "192.168.1.1:8000"}),
    ],
)
@pytest.mark.parametrize("local", [None, True])
def test_only_programs_of_this_machine_come_without_an_origin(
    address: str, headers: dict[str, str], local: bool | None
) -> None:
    peer = Peer(address, {"host": "127.0.0.1", **headers})
    assert "Origin" in (check_handshake(peer, local=local) or "")


def test_a_program_is_not_trusted_where_a_proxy_may_stand() -> None:
    # What a proxy that adds no header sends on behalf of a stranger.
    peer = Peer("127.0.0.1", {"host": "127.0.0.1:8000", "user-agent": "x"})
    assert check_handshake(peer) is None
    for origins, hosts in ((["https://chat.example"], []), ([], ["chat.example"])):
        assert "local=True" in (check_handshake(peer, origins, hosts) or "")
        assert check_handshake(peer, origins, hosts, local=True) is None
    assert check_handshake(peer, local=False) is not None


COVERS = [
    ("chatroom:*", "chatroom:1", True),
    ("chatroom:*", "chatroom:*", True),
    ("chatroom:*", "chatroom:>", False),
    ("chatroom:*", "chatroom", False),
    ("chatroom:*", "chatroom:1:2", False),
    ("chatroom:*", "*:1", False),
    ("chatroom:*", ">", False),
    ("chatroom:>", "chatroom:*", True),
    ("chatroom:>", "chatroom:1:*:>", True),
    ("chatroom:>", "chatroom", False),
    ("*", "a", True),
    ("*", ">", False),
    (">", ">", True),
    (">", "*:a", True),
    ("a:b", "a:b", True),
    ("a:b", "a:*", False),
    (">", "telex:inbox", False),
    ("*:*", "telex:inbox", False),
    ("telex:*", "telex:inbox", True),
]


@pytest.mark.parametrize(("rule", "asked", "expected"), COVERS)
def test_a_rule_covers_its_pattern_and_no_more(rule: str, asked: str, expected: bool) -> None:
    assert covers(rule, asked) is expected


TOKENS = st.sampled_from(["a", "b", "*"])
PATTERNS = st.builds(
    lambda tokens, rest: ":".join([*tokens, ">"] if rest else tokens), st.lists(TOKENS, min_size=1), st.booleans()
)
TOPICS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=5).map(":".join)


@given(PATTERNS, PATTERNS, TOPICS)
def test_nothing_is_seen_through_a_pattern_that_the_rule_does_not_allow(rule: str, asked: str, topic: str) -> None:
    if covers(rule, asked) and Pattern(asked).matches(topic):
        assert Pattern(rule).matches(topic)


def test_nothing_is_allowed_that_no_rule_names() -> None:
    authorizer = Authorizer(AccessRules(), Peer("127.0.0.1", {}))
    with pytest.raises(Refused, match="publish"):
        authorizer.publish("a", 1)
    with pytest.raises(Refused, match="subscribe"):
        authorizer.subscribe("a")
    assert not authorizer.sees("a")


def test_a_rule_is_a_pattern() -> None:
    with pytest.raises(BadName):
        AccessRules(publish=("a b",))


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


async def test_a_peer_shows_its_path_and_query_string() -> None:
    peers: list[Peer] = []

    def note(rules: AccessRules, peer: Peer) -> Authorizer:
        peers.append(peer)
        return Authorizer(rules, peer)

    async with telex.Hub() as hub:
        app = Starlette(routes=[Mount("/rooms", Gateway(hub, authorizer=note))])
        async with WebSocketClient(app, path="/rooms/7", query=b"token=a%20b&x=1"):
            pass
    assert (peers[0].path, peers[0].query_string) == ("/rooms/7", "token=a%20b&x=1")


OPEN = AccessRules(publish=(">",), subscribe=(">",))


async def test_headers_decide_with_the_first_of_two() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway, PROGRAM, more=[(b"Origin", b"https://evil.example")]) as client:
            assert not client.accepted
