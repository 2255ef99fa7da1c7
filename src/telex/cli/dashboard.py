"""``telex dashboard``."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from telex.cli.exits import Exit
from telex.cli.files import check_opens
from telex.cli.options import Json, Url
from telex.cli.output import print_json, report

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

    from telex.gateway import Peer

COOKIE = "telex-dashboard"


def dashboard(
    url: Url,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="The port; 0 chooses a free one.")] = 8080,
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow a --host that other machines can connect to, with a password.")
    ] = False,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="TELEX_DASHBOARD_PASSWORD",
            metavar="TEXT",
            help="The password for --expose, at least 16 characters. [default: a new one, which is printed]",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A host name of this server; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Serve a page with the topics, groups, dead letters, commands, schedules and triggers of a file or database.

    By default only this machine can connect. Ctrl-C stops the server. To see the topics in the memory of a program,
    mount telex.dashboard.Dashboard in the program.

    \b
    Examples:
      telex dashboard --url sqlite:///shop.db
      telex dashboard --port 9000 --url postgresql://shop@db/shop
      telex dashboard --host 0.0.0.0 --expose --allow-host den.local --url sqlite:///shop.db
    """
    from telex.chat.server import address_of, bind, is_open_to_others, serve
    from telex.gateway import Limits

    others = is_open_to_others(host)
    if others and not expose:
        report(f"{host} lets other machines connect, to read and to change: add --expose to allow it with a password")
        raise typer.Exit(Exit.USAGE)
    if password is not None and len(password) < 16:
        raise typer.BadParameter("it must have at least 16 characters", param_hint="'--password'")
    password = (password or secrets.token_urlsafe(24)) if others or password else None
    check_opens(url, create=False)
    app = create_app(url, password, tuple(allow_host or ()))
    try:
        listener = bind(host, port)
    except OSError as error:
        report(str(error))
        raise typer.Exit(Exit.ERROR) from None
    page = f"{address_of(listener).page}/" + (f"?{urlencode({'password': password})}" if password else "")

    def ready() -> None:
        if json:
            print_json({"page": page})
        else:
            typer.echo(f"The dashboard is open: {typer.style(page, bold=True)}  (Ctrl-C closes it)")
        if others:
            report("other machines can connect with this password; nothing is encrypted", bad=False)

    serve(app, listener, Limits(), ready)


def create_app(url: str, password: str | None, hosts: tuple[str, ...]) -> Starlette:
    """Return the dashboard of an engine as an app. With a password, ``/?password=...`` sets a cookie, whose value is
    random and valid until the program ends: a browser sends it to all ports of this host.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request, cookie_parser
    from starlette.responses import RedirectResponse
    from starlette.routing import Mount

    from telex import Hub
    from telex.dashboard import Dashboard

    session = secrets.token_urlsafe(24)

    def is_right(given: str, wanted: str) -> bool:
        return secrets.compare_digest(given.encode(), wanted.encode())

    def may(peer: Peer) -> bool:
        return is_right(cookie_parser(peer.headers.get("cookie", "")).get(COOKIE, ""), session)

    hub = Hub(url)
    board = Dashboard(hub, auth=may if password else None, hosts=hosts)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield
            await board.aclose()

    async def enter(scope: Scope, receive: Receive, send: Send) -> None:
        given = Request(scope).query_params.get("password") if scope["type"] == "http" and password else None
        if given is None or not is_right(given, str(password)):
            await board(scope, receive, send)
            return
        response = RedirectResponse("./", 303, {"Cache-Control": "no-store"})  # the address without the password
        response.set_cookie(COOKIE, session, httponly=True, samesite="strict")
        await response(scope, receive, send)

    return Starlette(routes=[Mount("/", enter)], lifespan=lifespan)
