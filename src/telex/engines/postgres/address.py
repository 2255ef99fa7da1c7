"""``postgresql://user@host/database?schema=telex``: the server, the schema, and the number of connections."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from telex.durations import seconds
from telex.errors import BadOption
from telex.names import shown_url

NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
MIN_CONNECTIONS = 2
OWN_OPTIONS = ("schema", "poll", "listen", "connections")
LIVENESS = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3", "tcp_user_timeout": "20000"}
"""libpq's settings by which a connection to an unreachable host ends within half a minute, unless the URL sets them."""


class ServerAddress(msgspec.Struct, frozen=True):
    """A checked URL."""

    shown: str
    """The URL without credentials, for errors."""
    settings: dict[str, str]
    """libpq's settings of the connections."""
    listening: dict[str, str]
    """libpq's settings of the connection for notifications."""
    schema: str = "telex"
    poll: float = 1.0
    """Seconds between two reads for messages without a notification."""
    connections: int = 8
    """The most connections besides the three that write, read and listen."""
    pooled: bool = False
    """True when there may be a pooler in transaction mode, so that no statement is prepared."""

    @property
    def quoted(self) -> str:
        """The schema, quoted for SQL."""
        return f'"{self.schema}"'

    @property
    def channel(self) -> str:
        """The channel of notifications."""
        return f"telex_{self.schema}"


def parse(url: str) -> ServerAddress:
    """Return the address in ``url``. Raises `BadOption`, which tells how to fix it and shows no password."""
    base, mark, query = url.partition("?")
    shown = shown_url(url).partition("?")[0]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if mark else []
    except ValueError:
        raise BadOption("url", shown, "write options after '?', such as 'schema=telex'") from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise BadOption("url", shown, "an option is given twice; keep one")
    own = {name: options.pop(name) for name in OWN_OPTIONS if name in options}
    libpq = base + (f"?{urlencode(options, quote_via=quote)}" if options else "")
    settings = _settings(libpq, "url", shown)
    listen = own.get("listen")
    schema = own.get("schema", "telex")
    if not NAME.fullmatch(schema):
        fix = "it must be a name of at most 40 lower-case letters, digits and _ that does not begin with a digit"
        raise BadOption("schema", schema, fix)
    poll = seconds(own.get("poll", "1s"), "poll")
    if not 0.01 <= poll <= 60:
        raise BadOption("poll", own["poll"], "it must be from 10ms to 60s, such as poll=1s (the default)")
    connections = own.get("connections", "8")
    if not connections.isdecimal() or int(connections) < MIN_CONNECTIONS:
        raise BadOption("connections", connections, f"it must be a number of at least {MIN_CONNECTIONS}")
    return ServerAddress(
        shown,
        settings,
        settings if listen is None else _settings(listen, "listen", "..."),
        schema,
        poll,
        int(connections),
        listen is not None,
    )


def _settings(libpq: str, option: str, shown: str) -> dict[str, str]:
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(libpq).items() if value is not None}
    except ProgrammingError as error:
        reason = re.sub(r'"[^"]*"', "...", " ".join(str(error).split())) if option != "url" else _reason(error)
        fix = f"it must be a URL of libpq, such as 'postgresql://user@host/database?sslmode=require' ({reason})"
        raise BadOption(option, shown, fix) from None
    return LIVENESS | {"application_name": "telex"} | found


def _reason(error: Exception) -> str:
    """Return libpq's error text, unless it may contain the password."""
    text = " ".join(str(error).split())
    known = re.search(r'invalid URI query parameter: "([a-zA-Z_]*)"', text)
    return f"{known[1]!r} is not an option" if known else "libpq cannot read it; percent-encode special characters"
