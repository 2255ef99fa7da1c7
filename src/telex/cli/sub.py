"""``telex sub``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from telex.cli.client import follow
from telex.cli.exits import Exit, tell
from telex.cli.files import URL_HELP, existing
from telex.cli.follow_file import follow_file
from telex.cli.options import DEFAULT_SERVER, ConnectTimeout, Json, Server, duration, is_given
from telex.cli.printing import Printer


def sub(
    ctx: typer.Context,
    topic: Annotated[str, typer.Argument(help="A topic's id, or a pattern such as 'chatroom:*'.")],
    since: Annotated[
        str,
        typer.Option(
            metavar="WHERE", help="'earliest', a number of messages back, a time back such as 10m, or a position."
        ),
    ] = "new",
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many messages.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Stop after so long: seconds, or text such as 5m."),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", "-u", metavar="URL", help=f"Ask no server. {URL_HELP}")] = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """Print the messages of a topic, or of all topics that fit a pattern, as they come: of a running server, or with
    --url of a file that programs of this machine share.

    A connection that is lost is made again, and what was missed is printed. What cannot be recovered is told.
    With --count, running out of --timeout first is exit code 4.

    \b
    Examples:
      telex sub chatroom:lobby
      telex sub 'chatroom:*' --since 20
      telex sub orders:new --since earliest --json | jq .content
      telex sub jobs:done --count 1 --timeout 5m
      telex sub 'orders:*' --since earliest --url sqlite:///shop.db
    """
    from telex import Timeout
    from telex.gateway.protocol import parse_since
    from telex.names import check_pattern

    check_pattern(topic)
    start = int(since) if since.isascii() and since.isdigit() else since
    begin = parse_since(start)
    deadline = None if timeout is None else time.monotonic() + timeout
    if url is not None and is_given(ctx, "server"):
        raise typer.BadParameter("give --url or --server, not both", ctx, param_hint="'--url'")
    printer = Printer(json, count)
    try:
        if url is None:
            printer.run(follow(server, topic, start, connect_timeout, deadline))
        else:
            _ = existing(url)
            printer.run(follow_file(url, topic, begin, deadline))
    except Timeout:
        if printer.left:
            tell(f"{timeout:g} s are over, and {printer.left} of {count} messages have not come")
            raise typer.Exit(Exit.TIMEOUT) from None
