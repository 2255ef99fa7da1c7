"""Options and arguments that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from telex import BadOption
from telex.durations import seconds

if TYPE_CHECKING:
    from telex import Start


def duration(value: str | float) -> float:
    """Parse an option: seconds, or text such as ``10m``. Raises `typer.BadParameter`."""
    try:
        number = float(value)
    except ValueError:
        number = None
    try:
        return seconds(value if number is None else number)
    except BadOption:
        fix = "give seconds, finite and not negative, or text such as '250ms', '10s', '5m', '24h', '7d'"
        raise typer.BadParameter(fix) from None


def positive_duration(value: str | float) -> float:
    """Parse an option as `duration`, and refuse 0."""
    length = duration(value)
    if not length:
        raise typer.BadParameter("give more than 0: seconds, or text such as '250ms'")
    return length


def parse_start(since: str) -> Start:
    """Parse ``--since``: the start of a subscription. Raises `BadOption`."""
    from telex.gateway.protocol import parse_since

    return parse_since(number_or_text(since))


def number_or_text(since: str) -> str | int:
    """Return ``--since`` as a number or text, for a gateway."""
    return int(since) if since.isascii() and since.isdigit() else since


def is_given(ctx: typer.Context, option: str) -> bool:
    """Return true for an option on the command line, and false for one from the environment or a default."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def chosen_url(ctx: typer.Context, url: str | None) -> str | None:
    """Return the URL of a file or database, or None for the server. ``--server`` and the variable of the server win
    over the variable of the URL. Raises `typer.BadParameter` for ``--url`` together with ``--server``.
    """
    if url is None or is_given(ctx, "url"):
        if url is not None and is_given(ctx, "server"):
            raise typer.BadParameter("give --url or --server, not both", ctx, param_hint="'--url'")
        return url
    source = ctx.get_parameter_source("server")
    return url if source is None or source.name.startswith("DEFAULT") else None


def no_file(ctx: typer.Context) -> typer.BadParameter:
    """Return the error for a command line without a file or database."""
    return typer.BadParameter("name the file or database, --url sqlite:///file.db", ctx, param_hint="'--url'")


URL_HELP = "The file or database with the messages: sqlite:///file.db, postgresql://user@host/database"
Url = Annotated[str, typer.Option("--url", "-u", envvar="TELEX_URL", metavar="URL", help=URL_HELP)]
OptionalUrl = Annotated[str | None, typer.Option("--url", "-u", envvar="TELEX_URL", metavar="URL", help=URL_HELP)]
UrlNotServer = Annotated[
    str | None,
    typer.Option(
        "--url",
        "-u",
        envvar="TELEX_URL",
        metavar="URL",
        help="Use a file or database instead of a server: sqlite:///file.db, postgresql://user@host/database",
    ),
]
Server = Annotated[
    str, typer.Option("--server", "-s", envvar="TELEX_SERVER", metavar="URL", help="The address of the server.")
]
ConnectTimeout = Annotated[
    float,
    typer.Option(
        parser=positive_duration,
        metavar="DURATION",
        help="The time limit for connecting: seconds, or text such as 500ms.",
    ),
]
TopicPattern = Annotated[
    str, typer.Argument(help="The topics: '*' matches one token, '>' at the end matches all that follow.")
]
Since = Annotated[
    str,
    typer.Option(
        metavar="START",
        help="Where to start: 'new', 'earliest', a number of messages back, a time back such as 10m, or a position.",
    ),
]
Limit = Annotated[
    float | None,
    typer.Option(parser=duration, metavar="DURATION", help="Stop after this time: seconds, or text such as 5m."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
