"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from telex import BadOption
from telex.cli.client import DEFAULT_SERVER
from telex.durations import seconds


def duration(value: str | float) -> float:
    """Seconds of an option: a number, or text such as ``10m``. Raises what typer tells as wrong usage."""
    try:
        number = float(value)
    except ValueError:
        number = None
    try:
        return seconds(value if number is None else number)
    except BadOption:
        mend = "give seconds, finite and not negative, or text such as '250ms', '10s', '5m', '24h', '7d'"
        raise typer.BadParameter(mend) from None


def positive_duration(value: str | float) -> float:
    """The same, and not nothing."""
    length = duration(value)
    if not length:
        raise typer.BadParameter("give it some time: seconds, or text such as '250ms'")
    return length


def is_given(ctx: typer.Context, option: str) -> bool:
    """Whether an option stands on the command line. A variable of the environment may name it for other commands."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


Server = Annotated[
    str, typer.Option("--server", "-s", envvar="TELEX_SERVER", metavar="URL", help="The server's address.")
]
ConnectTimeout = Annotated[
    float,
    typer.Option(
        parser=positive_duration,
        metavar="DURATION",
        help="How long connecting may take, all of it: seconds, or text such as 500ms.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

__all__ = ["DEFAULT_SERVER", "ConnectTimeout", "Json", "Server", "duration", "is_given", "positive_duration"]
