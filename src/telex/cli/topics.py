"""``telex topics``."""

from __future__ import annotations

from typing import Annotated

import typer

from telex.cli.files import URL_HELP, with_hub
from telex.cli.options import DEFAULT_SERVER, ConnectTimeout, Json, Server


def topics(
    ctx: typer.Context,
    pattern: Annotated[str, typer.Argument(help="Which topics: '*' stands for one token, '>' for all the rest.")] = ">",
    url: Annotated[str | None, typer.Option("--url", "-u", metavar="URL", help=f"Ask no server. {URL_HELP}")] = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """List the topics of a running server, or of a file.

    \b
    Examples:
      telex topics
      telex topics 'chatroom:*'
      telex topics --json | jq -r '.[]'
      telex topics 'orders:>' --url sqlite:///shop.db
    """
    import msgspec

    from telex.names import check_pattern

    check_pattern(pattern)
    if url is None:
        found = _of_server(server, connect_timeout, pattern)
    elif _is_given(ctx, "server"):
        raise typer.BadParameter("give --url or --server, not both", ctx, param_hint="'--url'")
    else:
        found = with_hub(url, lambda hub: hub.topics(pattern))
    if json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        for name in found:
            typer.echo(name)


def _of_server(server: str, connect_timeout: float, pattern: str) -> list[str]:
    from telex.cli.client import Client
    from telex.gateway.protocol import ListTopics, TopicList

    with Client(server, connect_timeout) as client:
        return list(client.request(ListTopics(pattern), TopicList).topics)


def _is_given(ctx: typer.Context, option: str) -> bool:
    # A variable of the environment may name a server for other commands.
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
