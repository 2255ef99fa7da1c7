"""Who may connect, and what a connection may do: the Origin and Host of a handshake, and `Rules` over topics."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import msgspec

from telex.gateway.errors import Refused
from telex.names import check_pattern

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
RESERVED = "telex"
"""Topics whose first token is this, or begins with ``$``, belong to telex itself, and no client may touch them."""


class Peer(msgspec.Struct, frozen=True):
    """The other side of a connection, as its handshake shows it. Header names are lower case."""

    address: str
    """The IP address, or an empty text when it has none."""
    headers: Mapping[str, str]
    scheme: str = "ws"

    @property
    def origin(self) -> str | None:
        """The page that a browser connects from; None for a program that is no browser."""
        return self.headers.get("origin")

    @property
    def on_this_machine(self) -> bool:
        """Whether it connects over the loopback, and not through a proxy that does."""
        return is_loopback(self.address) and not any(name in self.headers for name in FORWARDED)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Which topics may be published to and followed, and which commands sent, as patterns. What no pattern allows is
    refused.

    Raises `BadName` for a pattern that is none.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    call: tuple[str, ...] = ()
    """Commands that may be sent by HTTP (`telex.gateway.Commands`)."""

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


NOTHING = Rules()
"""The rules that allow nothing."""


class Visitor:
    """What one connection may do. The default asks `Rules`; an application overrides what it knows better.

    One is made for every connection, by ``Gateway(visitor=...)``. Only `call` may wait.
    """

    def __init__(self, rules: Rules, peer: Peer) -> None:
        self.rules = rules
        self.peer = peer

    def publish(self, topic: str, content: object) -> object:
        """What is published when the client sends ``content``. Raises `Refused`."""
        if not self.rules.may_publish(topic):
            raise Refused("forbidden", f"the rules of this server do not let you publish to {topic!r}")
        return content

    def subscribe(self, topic: str) -> None:
        """Raises `Refused` when the client may not follow a topic or a pattern."""
        if not self.sees(topic):
            raise Refused("forbidden", f"the rules of this server do not let you subscribe to {topic!r}")

    def sees(self, topic: str) -> bool:
        """Whether a topic is in the list that the client gets of all topics."""
        return self.rules.may_subscribe(topic)

    async def call(self, name: str, content: object) -> object:
        """Carry out a ``call`` frame; what is returned is the answer's content. Raises `Refused`."""
        raise Refused("unknown_call", f"nobody serves a call {name[:80]!r} here")

    def gone(self) -> None:
        """The connection is over."""


def covers(rule: str, asked: str) -> bool:
    """Whether everything that ``asked``, a topic or a pattern, stands for is allowed by the pattern ``rule``."""
    mine, theirs = rule.split(":"), asked.split(":")
    if (theirs[0] == RESERVED or theirs[0].startswith("$")) and mine[0] != theirs[0]:
        return False
    for index, token in enumerate(mine):
        if token == ">":
            return len(theirs) > index
        if index >= len(theirs) or theirs[index] == ">":
            return False
        if token != "*" and token != theirs[index]:
            return False
    return len(mine) == len(theirs)


def is_loopback(host: str) -> bool:
    """Whether an address or a host's name is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_handshake(peer: Peer, origins: Iterable[str] = (), hosts: Iterable[str] = ()) -> str | None:
    """What is wrong with a handshake, or None.

    ``Host`` has to be an IP address, ``localhost`` or one of ``hosts``: a name that anybody can point at this machine
    would make every page of that name one of ours. ``Origin`` has to be that host, or one of ``origins``. Only a
    program on this machine, which is no browser, may come without one.
    """
    host = peer.headers.get("host", "")
    problem = check_host(host, hosts)
    if problem is not None:
        return problem
    origin = peer.origin
    if origin is None:
        if peer.on_this_machine:
            return None
        mend = "allow its page with origins=['https://the.page'] (telex chat --allow-origin)"
        return f"an Origin header is needed from another machine; {mend}"
    if origin in set(origins) or _same_origin(origin, host, peer.scheme):
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
    parts = urlsplit(origin).scheme
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
