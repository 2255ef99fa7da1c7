"""``telex topics``."""

from __future__ import annotations

from typing import Annotated

import typer

from telex.cli.options import DEFAULT_SERVER, ConnectTimeout, Json, Server


def topics(
    pattern: Annotated[str, typer.Argument(help="Which topics: '*' stands for one token, '>' for all the rest.")] = ">",
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """List the topics of a running server.

    \b
    Examples:
      telex topics
      telex topics 'chatroom:*'
      telex topics --json | jq -r '.[]'
    """
    import msgspec

    from telex.cli.client import Client
    from telex.gateway.protocol import ListTopics, TopicList
    from telex.names import check_pattern

    check_pattern(pattern)
    with Client(server, connect_timeout) as client:
        found = client.request(ListTopics(pattern), TopicList).topics
    if json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        for name in found:
            typer.echo(name)
