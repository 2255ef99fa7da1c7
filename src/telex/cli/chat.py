"""``telex chat``."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from telex.cli.exits import Exit
from telex.cli.files import check_opens
from telex.cli.options import Json, duration
from telex.cli.output import print_json, report

Local = Annotated[
    bool | None,
    typer.Option(
        "--local/--no-local",
        help="Let programs of this machine connect, such as telex pub. By default only without --allow-host and "
        "--allow-origin: a proxy on this machine looks like such a program.",
    ),
]


def chat(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="The port; 0 chooses a free one.")] = 8000,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The engine that keeps the rooms. [default: memory://]")
    ] = None,
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow a --host that other machines can connect to.")
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A host name of this server; may be repeated.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Another page that may connect, such as https://my.page; may be repeated."),
    ] = None,
    local: Local = None,
    grace: Annotated[
        float,
        typer.Option(parser=duration, metavar="DURATION", help="How long to show a person whose connection was lost."),
    ] = 5.0,
    json: Json = False,
) -> None:
    """Serve a chat room: a page for people, and a WebSocket for `telex pub`, `telex sub` and `telex topics`.

    By default only this machine can connect. Ctrl-C stops the server. Messages are in memory unless
    --url names a file or a database.

    \b
    Examples:
      telex chat
      telex chat --port 8080 --url sqlite:///chat.db
      telex chat --host 0.0.0.0 --expose --allow-host den.local
    """
    from telex.chat import create_app
    from telex.chat.server import address_of, bind, is_open_to_others, serve
    from telex.gateway import Limits

    if is_open_to_others(host) and not expose:
        report(f"{host} lets other machines connect, to read and to write: add --expose to allow it")
        raise typer.Exit(Exit.USAGE)
    limits = Limits()
    check_opens(url)
    app = create_app(url, grace=grace, hosts=allow_host or (), origins=allow_origin or (), local=local, limits=limits)
    try:
        listener = bind(host, port)
    except OSError as error:
        report(str(error))
        raise typer.Exit(Exit.ERROR) from None
    address = address_of(listener)

    def ready() -> None:
        # The objects that exist now stay. A full collection over all of them blocks the loop for a tenth of a second.
        gc.collect()
        gc.freeze()
        _announce(address.page, address.gateway, json, is_open_to_others(host))

    serve(app, listener, limits, ready)


def _announce(page: str, gateway: str, as_json: bool, exposed: bool) -> None:
    if as_json:
        print_json({"page": page, "gateway": gateway})
    else:
        typer.echo(f"The chat room is open: {typer.style(page, bold=True)}  (Ctrl-C closes it)")
    if exposed:
        report("other machines can connect; there are no passwords, and nothing is encrypted", bad=False)
