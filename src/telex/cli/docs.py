"""``telex docs``: the AsyncAPI document of a program, printed or served as a page."""

from __future__ import annotations

from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex.cli.exits import Exit
from telex.cli.output import print_line, report

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "127.0.0.1"
"""The address of the page: this machine only."""
Answer = tuple[str, bytes]
"""A content type and a body."""


class PageRequest(BaseHTTPRequestHandler):
    """A request for the page or the document. A name in the header Host other than those of this machine is refused, so
    that no page of another site reads them.
    """

    def __init__(self, answers: Mapping[str, Answer], policy: str, *arguments: Any) -> None:
        self.answers = answers
        self.policy = policy
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer with the page, the document, or an error."""
        host = (self.headers.get("host") or "").rpartition(":")[0]
        answer = self.answers.get(self.path.partition("?")[0])
        if host not in (HOST, "localhost") or answer is None:
            self.send_error(404 if answer is None else 421)
            return
        kind, body = answer
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""


def server_of(document: Mapping[str, Any], port: int) -> ThreadingHTTPServer:
    """Return a server of the page and of ``/asyncapi.json``; port 0 is a free port. Raises `OSError`."""
    from telex.codec.content import to_json
    from telex.ext.asyncapi import POLICY, page

    answers = {
        "/": ("text/html; charset=utf-8", page(document).encode()),
        "/asyncapi.json": ("application/json", to_json(document)),
    }
    return ThreadingHTTPServer((HOST, port), partial(PageRequest, answers, POLICY))


def docs(
    program: Annotated[str, typer.Argument(metavar="MODULE:HUB", help="The hub, such as shop:hub for hub in shop.py.")],
    html: Annotated[bool, typer.Option("--html", help="Print the page instead of JSON.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the page on this machine until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="The port of --serve; 0 takes a free one.", min=0, max=65535)] = 8001,
    title: Annotated[str | None, typer.Option(help="The title of the document; by default MODULE:HUB.")] = None,
    version: Annotated[str, typer.Option("--api-version", help="The version of the program.")] = "1.0.0",
) -> None:
    """Print the AsyncAPI 3.1 document of the topics, handlers and commands that a hub declares.

    The program is imported, and its hub is not opened. Passwords in its URL are left out.

    \b
    Examples:
      telex docs shop:hub > asyncapi.json
      telex docs shop:hub --html > docs.html
      telex docs shop:hub --serve --port 8001
    """
    import msgspec

    from telex.cli.program import Unusable, load
    from telex.ext.asyncapi import document, page

    try:
        hub = load(program)
    except Unusable as error:
        report(str(error))
        raise typer.Exit(Exit.USAGE) from None
    written = document(hub, title=title or program, version=version)
    if serve:
        _serve(written, port)
    elif html:
        typer.echo(page(written))
    else:
        typer.echo(msgspec.json.format(msgspec.json.encode(written)).decode())


def _serve(written: Mapping[str, Any], port: int) -> None:
    try:
        server = server_of(written, port)
    except OSError as error:
        report(f"port {port} cannot be used: {error.strerror}; choose another with --port")
        raise typer.Exit(Exit.ERROR) from None
    with server:
        print_line(f"http://{HOST}:{server.server_address[1]}/  (Ctrl-C stops it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise typer.Exit(Exit.OK) from None
