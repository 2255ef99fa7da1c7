"""Who may connect, and what a connection may do: the Origin and Host of a handshake, and `AccessRules` over topics."""

from __future__ import annotations

import inspect
import ipaddress
import re
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from telex.gateway.calls import call_command
from telex.gateway.errors import Refused
from telex.names import check_pattern

if TYPE_CHECKING:
    from telex.hub import Hub

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
PROXIED = re.compile(
    r"via|forwarded|.*-forwarded(-.*)?|x-forward.*|.*-ip|x-(original|envoy|amzn|azure|vercel|request-start).*|"
    r"(cf|cdn|fly|fastly|x-cloud-trace)-.*|proxy-.*"
)
"""Names of headers that proxies and load balancers add."""
RESERVED = "telex"
"""Topics whose first token is this, or begins with ``$``, belong to telex itself. No wildcard reaches them."""


class Peer(msgspec.Struct, frozen=True):
    """The other side of a connection, as its handshake shows it."""

    address: str
    """The IP address, or an empty text when it has none."""
    headers: Mapping[str, str]
    """Names in lower case, and the value of each; of a header that came twice the first."""
    scheme: str = "ws"
    """``ws`` or ``wss``; by HTTP ``http`` or ``https``."""
    path: str = "/"
    """The path of the request, with the path that the gateway is mounted at."""
    query_string: str = ""
    """What follows ``?`` in the address, still encoded: `urllib.parse.parse_qs` reads it."""

    @property
    def origin(self) -> str | None:
        """The page that a browser connects from; None for a program that is no browser."""
        return self.headers.get("origin")

    @property
    def on_this_machine(self) -> bool:
        """Whether the handshake looks like that of a program on this machine: it came over the loopback, to a loopback
        name, without a header that a proxy adds. A proxy on this machine that adds none looks the same."""
        return (
            is_loopback(self.address)
            and is_loopback(_split(f"//{self.headers.get('host', '')}")[0])
            and not any(PROXIED.fullmatch(name) for name in self.headers)
        )


def peer_of(scope: Mapping[str, Any]) -> Peer:
    """The peer of an ASGI scope. Of a header that came twice the first counts, so that a second Origin cannot stand in
    for the browser's."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    client = scope.get("client")
    query: bytes = scope.get("query_string", b"")
    return Peer(
        client[0] if client else "",
        headers,
        scope.get("scheme", scope["type"]),
        scope["path"],
        query.decode("latin-1"),
    )


class AccessRules(msgspec.Struct, frozen=True, kw_only=True):
    """Which topics may be published to and followed, and which commands sent, as patterns. What no pattern allows is
    refused.

    Raises `BadName` for a pattern that is none.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    call: tuple[str, ...] = ()
    """Commands that may be sent, by HTTP (`telex.gateway.Commands`) and by the frame ``call``."""

    def __post_init__(self) -> None:
        for pattern in (*self.publish, *self.subscribe, *self.call):
            check_pattern(pattern)

    def may_call(self, command: str) -> bool:
        """Whether a client may send a command."""
        return any(covers(rule, command) for rule in self.call)

    def may_publish(self, topic: str) -> bool:
        """Whether a client may publish to a topic."""
        return any(covers(rule, topic) for rule in self.publish)

    def may_subscribe(self, topic: str) -> bool:
        """Whether a client may follow a topic, or all that a pattern stands for."""
        return any(covers(rule, topic) for rule in self.subscribe)


NOTHING = AccessRules()
"""The rules that allow nothing."""


class Authorizer:
    """The permissions of one connection. This class follows `AccessRules`; an application overrides its methods.

    ``Gateway(authorizer=...)`` makes one for every connection, before the handshake is answered. Raising `Refused`
    there refuses the client with HTTP 403. Every method may be ``async def``; an override that calls the method of
    this class has to return or await its result. Any exception but `Refused` is logged as the application's fault, and
    the client gets the error ``failed``.
    """

    hub: Hub
    """The hub of the gateway; set once the authorizer was made."""

    def __init__(self, rules: AccessRules, peer: Peer) -> None:
        self.rules = rules
        """The rules of the gateway."""
        self.peer = peer
        """The other side of the connection."""

    def publish(self, topic: str, content: object) -> object:
        """What is published when the client sends ``content``. Raises `Refused`."""
        if not self.rules.may_publish(topic):
            raise Refused("forbidden", f"the rules of this server do not let you publish to {topic!r}")
        return content

    def headers(self, topic: str, headers: Mapping[str, str]) -> object:
        """The headers (text to text) of what is published when the client sends some. Raises `Refused`."""
        return headers

    def subscribe(self, topic: str) -> object:
        """Let the client follow a topic or a pattern, or raise `Refused`.

        When a class overrides this method or `sees`, it is called again before each batch of messages is sent: a client
        that has lost the permission gets nothing more, and the subscription ends.
        """
        seen = self.sees(topic)
        if inspect.isawaitable(seen):
            return _awaited(seen, topic)
        _check_seen(seen, topic)
        return None

    def sees(self, topic: str) -> object:
        """Whether a topic is in the list that the client gets of all topics."""
        return self.rules.may_subscribe(topic)

    async def call(self, name: str, content: object, *, key: str | None = None) -> object:
        """Carry out a ``call`` frame; what is returned is the answer's content. Raises `Refused`.

        The default sends the command of that name, if the rules allow it. A method that overrides it may leave out
        ``key``.
        """
        if not self.rules.may_call(name):
            raise Refused("unknown_call", f"nobody serves a call {name[:80]!r} here")
        return await call_command(self.hub, name, content, key)

    def gone(self) -> object:
        """The connection is over, or was not made after all."""
        return None

    @property
    def judges(self) -> bool:
        """Whether permissions to follow may change: the class overrides who decides."""
        return type(self).subscribe is not Authorizer.subscribe or type(self).sees is not Authorizer.sees


async def _awaited(seen: Awaitable[Any], topic: str) -> None:
    _check_seen(await seen, topic)


def _check_seen(seen: object, topic: str) -> None:
    if not seen:
        raise Refused("forbidden", f"the rules of this server do not let you subscribe to {topic!r}")


def covers(rule: str, asked: str) -> bool:
    """Whether everything that ``asked``, a topic or a pattern, stands for is allowed by the pattern ``rule``.

    Topics of telex's own count only where both name them: see `is_hidden` for a pattern that begins with a wildcard.
    """
    mine, theirs = rule.split(":"), asked.split(":")
    if is_own(theirs[0]) and mine[0] != theirs[0]:
        return False
    for index, token in enumerate(mine):
        if token == ">":
            return len(theirs) > index
        if index >= len(theirs) or theirs[index] == ">":
            return False
        if token != "*" and token != theirs[index]:
            return False
    return len(mine) == len(theirs)


def is_own(topic: str) -> bool:
    """Whether a topic belongs to telex itself."""
    return topic.startswith("$") or topic.partition(":")[0] == RESERVED


def is_hidden(pattern: str, topic: str) -> bool:
    """Whether a message of ``topic`` is kept from who follows ``pattern``: no wildcard reaches telex's own topics."""
    return pattern[0] in "*>" and is_own(topic)


def is_loopback(host: str) -> bool:
    """Whether an address or a host's name is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_handshake(
    peer: Peer, origins: Iterable[str] = (), hosts: Iterable[str] = (), *, local: bool | None = None
) -> str | None:
    """What is wrong with a handshake, or None.

    ``Host`` has to be an IP address, ``localhost`` or one of ``hosts``: a name that anybody can point at this machine
    would make every page of that name one of ours. ``Origin`` has to be that host, or one of ``origins``.

    Without an Origin only a program on this machine may come, and only while ``local`` allows it. The default (None)
    allows it where neither ``origins`` nor ``hosts`` are given. With them, a proxy is likely to stand before the
    server, and a proxy on this machine that adds no header cannot be told from a program.
    """
    origins, hosts = set(origins), set(hosts)
    host = peer.headers.get("host", "")
    problem = check_host(host, hosts)
    if problem is not None:
        return problem
    origin = peer.origin
    if origin is None:
        if local is None:
            local = not (origins or hosts)
        if local and peer.on_this_machine:
            return None
        if peer.on_this_machine:
            return (
                "an Origin header is needed: programs of this machine are not let in where other hosts or origins are; "
                "let them in with local=True (telex chat --local) if no proxy stands before this server"
            )
        mend = "allow its page with origins=['https://the.page'] (telex chat --allow-origin)"
        return f"an Origin header is needed from another machine; {mend}"
    if origin in origins or _same_origin(origin, host, peer.scheme):
        return None
    return f"the Origin {origin[:200]!r} is not allowed here; allow it with origins=[...] (telex chat --allow-origin)"


def check_host(host: str, hosts: Iterable[str] = ()) -> str | None:
    """What is wrong with a ``Host`` header, or None."""
    name = _split(f"//{host}")[0]
    if not name:
        return "a Host header is needed"
    if is_loopback(name) or name in {allowed.lower() for allowed in hosts}:
        return None
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"the host name {name[:200]!r} is not allowed here; allow it with hosts=[...] (telex chat --allow-host)"
    return None


def _same_origin(origin: str, host: str, scheme: str) -> bool:
    parts = origin.partition("://")[0].lower()
    if parts not in {"http", "https"}:
        return False
    name, port = _split(origin)
    mine, my_port = _split(f"//{host}")
    # Behind a proxy that ends TLS the page is https and this handshake is not: a missing port is the page's own
    # default.
    defaults = {DEFAULT_PORTS[parts], DEFAULT_PORTS.get(scheme, 80)}
    return bool(name) and name == mine and (port == my_port or {port, my_port} <= defaults | {None})


def _split(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None
