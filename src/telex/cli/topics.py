"""``telex topics``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from telex.cli.client import DEFAULT_SERVER
from telex.cli.files import check_url, existing, is_server, not_found
from telex.cli.options import ConnectTimeout, Json, Server, TopicPattern, UrlNotServer, chosen_url
from telex.cli.output import local_time, print_json, print_line, print_table
from telex.names import Pattern, check_pattern, is_pattern

if TYPE_CHECKING:
    from telex.engines.summary import TopicSummary


def topics(
    ctx: typer.Context,
    pattern: TopicPattern = ">",
    url: UrlNotServer = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """List the topics of a running server, a file or a database.

    A server returns only names. With --url the command prints the number of messages that each topic keeps, their size
    in bytes, and the time of the last message; with --json it prints them as objects.

    \b
    Examples:
      telex topics
      telex topics 'chatroom:*'
      telex topics --json | jq -r '.[]'
      telex topics 'orders:>' --url sqlite:///shop.db
      telex topics --json --url postgresql://shop@db/shop | jq -r '.[].topic'
    """
    check_pattern(pattern)
    url = chosen_url(ctx, url)
    if url is None:
        found = _of_server(server, connect_timeout, pattern)
        names: list[str] = found
    else:
        matches = Pattern(pattern).matches
        kept = [summary for summary in _summaries(url) if matches(summary.topic)]
        names = [summary.topic for summary in kept]
    if not names and not is_pattern(pattern):
        raise not_found("topic", pattern)
    if url is None:
        if json:
            print_json(names)
        for name in () if json else names:
            print_line(name)
    elif json:
        print_json(kept)
    else:
        rows = [(t.topic, t.messages, t.bytes, "" if t.last is None else local_time(t.last)) for t in kept]
        print_table(("TOPIC", "MESSAGES", "BYTES", "LAST"), rows, "such topics")


def _summaries(url: str) -> list[TopicSummary]:
    check_url(url)
    if is_server(url):
        from telex.engines.postgres.summary import summaries as of_database

        return asyncio.run(of_database(url))
    from telex.engines.sqlite.summary import summaries as of_file

    return of_file(existing(url))


def _of_server(server: str, connect_timeout: float, pattern: str) -> list[str]:
    from telex.cli.client import Client
    from telex.gateway.protocol import ListTopics, TopicList

    with Client(server, connect_timeout) as client:
        return list(client.request(ListTopics(pattern), TopicList).topics)
