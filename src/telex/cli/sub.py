"""``telex sub``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from telex.cli.client import DEFAULT_SERVER, follow
from telex.cli.exits import Exit
from telex.cli.files import check_there
from telex.cli.follow_file import follow_file
from telex.cli.options import (
    ConnectTimeout,
    Json,
    Limit,
    Server,
    Since,
    UrlNotServer,
    chosen_url,
    number_or_text,
    parse_start,
)
from telex.cli.output import counted, report
from telex.cli.printing import Printer


def sub(
    ctx: typer.Context,
    topic: Annotated[str, typer.Argument(help="A topic's id, or a pattern such as 'chatroom:*'.")],
    since: Since = "new",
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after N messages.")] = None,
    timeout: Limit = None,
    url: UrlNotServer = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """Print the messages of a topic, or of all topics that match a pattern, as they arrive: from a running server, or
    with --url from a file or a database.

    After a lost connection the command reconnects and prints the messages that it missed. A notice on standard error
    counts lost messages. Exit code 4: --timeout was over before --count messages came.

    \b
    Examples:
      telex sub chatroom:lobby
      telex sub 'chatroom:*' --since 20
      telex sub orders:new --since earliest --json | jq .content
      telex sub jobs:done --count 1 --timeout 5m
      telex sub 'orders:*' --since earliest --url sqlite:///shop.db
    """
    from telex import Timeout
    from telex.names import check_pattern

    check_pattern(topic)
    start = parse_start(since)
    deadline = None if timeout is None else time.monotonic() + timeout
    url = chosen_url(ctx, url)
    printer = Printer(json, count)
    try:
        if url is None:
            printer.run(follow(server, topic, number_or_text(since), connect_timeout, deadline))
        else:
            check_there(url)
            printer.run(follow_file(url, topic, start, deadline))
    except Timeout:
        if printer.left:
            report(f"{timeout:g} s are over, and {printer.left} of {counted(count or 0, 'message')} did not come")
            raise typer.Exit(Exit.TIMEOUT) from None
