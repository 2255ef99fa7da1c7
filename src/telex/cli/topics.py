"""``telex topics``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from telex.cli.files import URL_HELP, existing, none_such, print_json, show
from telex.cli.options import DEFAULT_SERVER, ConnectTimeout, Json, Server, is_given
from telex.cli.table import show_table
from telex.names import Pattern, check_pattern, is_pattern


def topics(
    ctx: typer.Context,
    pattern: Annotated[str, typer.Argument(help="Which topics: '*' stands for one token, '>' for all the rest.")] = ">",
    url: Annotated[str | None, typer.Option("--url", "-u", metavar="URL", help=f"Ask no server. {URL_HELP}")] = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """List the topics of a running server, or of a file.

    Of a file, each with the number of messages that it keeps, their size in bytes, and the time of the last one. With
    --json a file gives objects, and a server names.

    \b
    Examples:
      telex topics
      telex topics 'chatroom:*'
      telex topics --json | jq -r '.[]'
      telex topics 'orders:>' --url sqlite:///shop.db
      telex topics --json --url sqlite:///shop.db | jq -r '.[].topic'
    """
    check_pattern(pattern)
    if url is None:
        found = _of_server(server, connect_timeout, pattern)
        names: list[str] = found
    elif is_given(ctx, "server"):
        raise typer.BadParameter("give --url or --server, not both", ctx, param_hint="'--url'")
    else:
        from telex.engines.sqlite.summary import summaries

        matches = Pattern(pattern).matches
        kept = [summary for summary in summaries(existing(url)) if matches(summary.topic)]
        names = [summary.topic for summary in kept]
    if not names and not is_pattern(pattern):
        raise none_such("topic", pattern)
    if url is None:
        if json:
            print_json(names)
        for name in () if json else names:
            show(name)
    elif json:
        print_json(kept)
    else:
        rows = [(topic.topic, topic.messages, topic.bytes, _when(topic.last)) for topic in kept]
        show_table(("TOPIC", "MESSAGES", "BYTES", "LAST"), rows, "such topics")


def _when(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone().isoformat(" ", "seconds")


def _of_server(server: str, connect_timeout: float, pattern: str) -> list[str]:
    from telex.cli.client import Client
    from telex.gateway.protocol import ListTopics, TopicList

    with Client(server, connect_timeout) as client:
        return list(client.request(ListTopics(pattern), TopicList).topics)
