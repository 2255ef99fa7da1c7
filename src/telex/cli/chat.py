"""``telex chat``."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from telex.cli.exits import Exit, tell
from telex.cli.options import Json, duration


def chat(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="The port; 0 for any free one.")] = 8000,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where rooms are kept. [default: memory://]")] = None,
    expose: Annotated[bool, typer.Option("--expose", help="Let other machines connect, as --host says.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A host name that the page may be opened under.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Another page that may connect: https://my.page")
    ] = None,
    local: Annotated[
        bool | None,
        typer.Option(
            "--local/--no-local",
            help="Let programs of this machine in, such as telex pub. By default only without --allow-host and "
            "--allow-origin: a proxy on this machine looks like such a program.",
        ),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(parser=duration, metavar="DURATION", help="How long who lost the connection is still shown."),
    ] = 5.0,
    json: Json = False,
) -> None:
    """Serve a chat room: a page for people, and a WebSocket for `telex pub`, `telex sub` and `telex topics`.

    It listens on this machine alone, and needs no server and no configuration. Ctrl-C stops it.

    \b
    Examples:
      telex chat
      telex chat --port 8080
      telex chat --host 0.0.0.0 --expose --allow-host den.local
    """
    from telex.chat import create_app
    from telex.chat.server import address_of, bind, is_open_to_others, serve
    from telex.gateway import Limits

    if is_open_to_others(host) and not expose:
        tell(f"{host} lets other machines connect, and whoever does can read and write: add --expose if that is meant")
        raise typer.Exit(Exit.USAGE)
    limits = Limits()
    app = create_app(url, grace=grace, hosts=allow_host or (), origins=allow_origin or (), local=local, limits=limits)
    try:
        listener = bind(host, port)
    except OSError as error:
        tell(str(error))
        raise typer.Exit(Exit.ERROR) from None
    address = address_of(listener)

    def ready() -> None:
        # What exists by now stays. A full collection that looks at all of it stops everybody for a tenth of a second.
        gc.collect()
        gc.freeze()
        _announce(address.page, address.gateway, json, is_open_to_others(host))

    serve(app, listener, limits, ready)


def _announce(page: str, gateway: str, as_json: bool, exposed: bool) -> None:
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode({"page": page, "gateway": gateway}).decode())
    else:
        typer.echo(f"The chat room is open: {typer.style(page, bold=True)}  (Ctrl-C closes it)")
    if exposed:
        tell("other machines can connect; there are no passwords, and nothing is encrypted", bad=False)
