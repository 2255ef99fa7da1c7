"""Checks of Origin and Host of a handshake, `AccessRules` over topics and commands, and the `Authorizer`."""

from __future__ import annotations

import inspect
import ipaddress
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from telex.checks import flag, instance, texts
from telex.errors import BadOption
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
"""The names of headers that proxies and load balancers add."""
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s*]+")
"""An origin as browsers send it: without a path."""
RESERVED = "telex"
"""The first token of telex's own topics, beside tokens that begin with ``$``. No wildcard matches these topics."""


class Peer(msgspec.Struct, frozen=True):
    """The client of a connection, by the data of its handshake."""

    address: str
    """The IP address, or an empty text without one."""
    headers: Mapping[str, str]
    """The headers, by names in lower case. For a repeated header it is the first value."""
    scheme: str = "ws"
    """``ws`` or ``wss``; by HTTP ``http`` or ``https``."""
    path: str = "/"
    """The path of the request, including the path at which the gateway is mounted."""
    query_string: str = ""
    """The encoded query string, for `urllib.parse.parse_qs`."""

    @property
    def origin(self) -> str | None:
        """The page that a browser connects from, or None: most other programs send no Origin."""
        return self.headers.get("origin")

    @property
    def on_this_machine(self) -> bool:
        """True when the handshake came over the loopback interface, to a loopback name, without a header of a proxy. A
        proxy on this machine that adds no header looks the same."""
        return (
            is_loopback(self.address)
            and is_loopback(_split(f"//{self.headers.get('host', '')}")[0])
            and not any(PROXIED.fullmatch(name) for name in self.headers)
        )


def peer_of(scope: Mapping[str, Any]) -> Peer:
    """Return the peer of an ASGI scope. The first value of a repeated header counts, so that a second Origin cannot
    replace the Origin of the browser.
    """
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
    """Patterns of the topics that clients may publish to and subscribe to, and of the commands that they may send.
    Everything else is refused.

    Raises `BadName` for an invalid pattern, `BadOption` for a value that is no list.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    call: tuple[str, ...] = ()
    """The commands that clients may send, by HTTP (`telex.gateway.Commands`) and by the frame ``call``."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            patterns = getattr(self, name)  # read again for each client, so no iterator
            if not isinstance(patterns, Collection):
                raise BadOption(name, patterns, "it must be a tuple or list of patterns, such as ('chatroom:*',)")
            for pattern in texts(patterns, name, "chatroom:*"):
                check_pattern(pattern, name)

    def may_call(self, command: str) -> bool:
        """Return True when a client may send this command."""
        return any(covers(rule, command) for rule in self.call)

    def may_publish(self, topic: str) -> bool:
        """Return True when a client may publish to this topic."""
        return any(covers(rule, topic) for rule in self.publish)

    def may_subscribe(self, topic: str) -> bool:
        """Return True when a client may subscribe to this topic, or to all topics of this pattern."""
        return any(covers(rule, topic) for rule in self.subscribe)


NOTHING = AccessRules()
"""The rules that allow nothing."""


def check_rules(rules: object) -> AccessRules:
    """Return the option ``rules`` of an app. Raises `BadOption`."""
    return instance(rules, AccessRules, "rules", "it must be telex.gateway.AccessRules(publish=[...], subscribe=[...])")


class Authorizer:
    """The permissions of one connection. This class follows `AccessRules`; an application overrides its methods.

    ``Gateway(authorizer=...)`` makes one for every connection, before the handshake is answered. Raising `Refused`
    there refuses the client with HTTP 403. Every method may be ``async def``; an override that calls the method of
    this class has to return or await its result. Any exception but `Refused` is logged as the application's fault, and
    the client gets the error ``failed``.
    """

    hub: Hub
    """The hub of the gateway, set after ``__init__``."""

    def __init__(self, rules: AccessRules, peer: Peer) -> None:
        self.rules = rules
        """The rules of the gateway."""
        self.peer = peer
        """The client of the connection."""

    def publish(self, topic: str, content: object) -> object:
        """Return the content to publish when the client sends ``content``, or raise `Refused`."""
        if not self.rules.may_publish(topic):
            raise Refused("forbidden", f"the rules of this server do not let you publish to {topic!r}")
        return content

    def headers(self, topic: str, headers: Mapping[str, str]) -> object:
        """Return the headers (text to text) to publish when the client sends headers, or raise `Refused`."""
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
        """Return True for a topic that the client may see in the list of topics."""
        return self.rules.may_subscribe(topic)

    async def call(self, name: str, content: object, *, key: str | None = None) -> object:
        """Handle a ``call`` frame: return the content of the answer, or raise `Refused`.

        This class sends the command of that name, if the rules allow it. An override may leave out ``key``.
        """
        if not self.rules.may_call(name):
            raise Refused("unknown_call", f"no worker serves a call {name[:80]!r}, or no rule allows it")
        return await call_command(self.hub, name, content, key)

    def gone(self) -> object:
        """Handle the end of the connection, also when its handshake was not completed."""
        return None

    @property
    def judges(self) -> bool:
        """True when a class overrides `subscribe` or `sees`, so that permissions may change."""
        return type(self).subscribe is not Authorizer.subscribe or type(self).sees is not Authorizer.sees


async def _awaited(seen: Awaitable[Any], topic: str) -> None:
    _check_seen(await seen, topic)


def _check_seen(seen: object, topic: str) -> None:
    if not seen:
        raise Refused("forbidden", f"the rules of this server do not let you subscribe to {topic!r}")


def covers(rule: str, asked: str) -> bool:
    """Return True when the pattern ``rule`` matches all topics of ``asked``, a topic or a pattern.

    Topics of telex itself match only when both name their first token; see `is_hidden`.
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
    """Return True for a topic or pattern of telex itself."""
    return topic.startswith("$") or topic.partition(":")[0] == RESERVED


def is_hidden(pattern: str, topic: str) -> bool:
    """Return True when ``pattern`` must not deliver ``topic``: a wildcard does not match topics of telex itself."""
    return pattern[0] in "*>" and is_own(topic)


def is_loopback(host: str) -> bool:
    """Return True for a loopback address and ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_handshake(
    peer: Peer, origins: Collection[str] = (), hosts: Collection[str] = (), *, local: bool | None = None
) -> str | None:
    """Return the reason to refuse a handshake, or None.

    ``Host`` has to be an IP address, ``localhost`` or one of ``hosts``. Otherwise anybody could point a host name at
    this machine, and the pages of that name would be same-origin. ``Origin`` has to be the host, or one of ``origins``.

    Without an Origin only a program on this machine may connect, and only if ``local`` allows it. The default (None)
    allows it when neither ``origins`` nor ``hosts`` are given. With them there is probably a proxy in front of the
    server, and a proxy on this machine that adds no header looks like a program.
    """
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
                "an Origin header is needed: programs of this machine are not allowed together with hosts or origins; "
                "allow them with local=True (telex chat --local) if there is no proxy in front of this server"
            )
        fix = "allow its page with origins=['https://the.page'] (telex chat --allow-origin)"
        return f"an Origin header is needed from another machine; {fix}"
    if origin in origins or _same_origin(origin, host, peer.scheme):
        return None
    return f"the Origin {origin[:200]!r} is not allowed here; allow it with origins=[...] (telex chat --allow-origin)"


def handshake_check(origins: Iterable[str], hosts: Iterable[str], local: bool | None) -> Callable[[Peer], str | None]:
    """Return `check_handshake` with the options of an app. Raises `BadOption`."""
    allowed = frozenset(texts(origins, "origins", "https://chat.example.org"))
    for origin in allowed:
        if origin != "null" and ORIGIN.fullmatch(origin) is None:
            raise BadOption("origins", origin, "an origin is a scheme and a host, such as 'https://chat.example.org'")
    names = frozenset(texts(hosts, "hosts", "chat.example.org"))
    if local is not None:
        flag(local, "local")
    return partial(check_handshake, origins=allowed, hosts=names, local=local)


def check_host(host: str, hosts: Iterable[str] = ()) -> str | None:
    """Return the reason to refuse a ``Host`` header, or None."""
    name = _split(f"//{host}")[0]
    if not name:
        return "a Host header is needed"
    if is_loopback(name) or name in {allowed.lower() for allowed in texts(hosts, "hosts", "chat.example.org")}:
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
    # Behind a proxy that ends TLS the page is https and this handshake is http: a missing port is the default port of
    # the page's scheme.
    defaults = {DEFAULT_PORTS[parts], DEFAULT_PORTS.get(scheme, 80)}
    return bool(name) and name == mine and (port == my_port or {port, my_port} <= defaults | {None})


def _split(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None
