"""``telex pub``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex.cli.exits import Exit, tell
from telex.cli.files import URL_HELP, file_of
from telex.cli.options import DEFAULT_SERVER, ConnectTimeout, Json, Server, is_given

if TYPE_CHECKING:
    from telex.gateway.protocol import Publish, Published


def pub(
    ctx: typer.Context,
    topic: Annotated[str, typer.Argument(help="The topic's id, such as chatroom:lobby.")],
    content: Annotated[str, typer.Argument(help="What to publish; - reads standard input, one message a line.")],
    text: Annotated[bool, typer.Option("--text", help="Take the content as text, even if it is JSON.")] = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Say it in a chat room, in this name.")] = None,
    id: Annotated[str | None, typer.Option(metavar="ID", help="The message's id: the same id is stored once.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header; may be given again.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", "-u", metavar="URL", help=f"Ask no server. {URL_HELP}")] = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """Publish to a topic of a running server, or with --url of a file, which is made if it is not there.

    Content that is JSON is published as what it says, all else as text. Lines of standard input are published as fast
    as the server lets one connection: `telex chat` takes about ten a second after a first few.

    \b
    Examples:
      telex pub chatroom:lobby hello --name Ann
      telex pub orders:new '{"item": "tea", "count": 2}'
      telex pub notes:today 42 --text
      telex pub orders:new '{"item": "tea"}' --url sqlite:///shop.db
      tail -f app.log | telex pub logs:app - --text
    """
    import msgspec
    import uuid_utils

    from telex import BadOption
    from telex.gateway.protocol import Publish
    from telex.names import check_topic

    if id is not None and content == "-":
        raise BadOption("id", id, "one id is for one message; leave it out with -")
    for option, given in {"content": content, "name": name, "id": id}.items():
        _check_text(option, given)
    check_topic(topic)
    headers = _headers(header or [])
    if url is not None and is_given(ctx, "server"):
        raise typer.BadParameter("give --url or --server, not both", ctx, param_hint="'--url'")
    with _to_server(server, connect_timeout) if url is None else _to_file(url) as publish:
        for line in _lines(content):
            body = _content(line, text or name is not None)
            if name is not None:
                body = {"name": name, "text": line}
            done = publish(Publish(topic, body, id or str(uuid_utils.uuid7()), headers))
            if json:
                typer.echo(msgspec.json.encode({"topic": done.topic, "id": done.id, "seq": done.seq}).decode())
            elif content != "-":
                typer.echo(f"{done.topic} #{done.seq} {done.id}")


@contextmanager
def _to_server(server: str, timeout: float) -> Iterator[Callable[[Publish], Published]]:
    from telex.cli.client import publisher

    with publisher(server, timeout) as connected:
        yield connected.publish


@contextmanager
def _to_file(url: str) -> Iterator[Callable[[Publish], Published]]:
    from telex.blocking import Hub
    from telex.gateway.protocol import Published

    file_of(url)
    with Hub(url) as hub:

        def publish(frame: Publish) -> Published:
            kept = hub.topic(frame.topic).publish(frame.content, id=frame.id, headers=frame.headers)
            return Published(kept.topic, kept.id, kept.seq)

        yield publish


def _lines(content: str) -> Iterator[str]:
    if content != "-":
        yield content
        return
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            tell(f"line {number} of standard input is not UTF-8; those before it are published, convert the rest")
            raise typer.Exit(Exit.ERROR) from None
        if text.strip():
            yield text.rstrip("\r\n")


def _check_text(option: str, given: str | None) -> None:
    # Bytes of a command line that are not in its encoding are lone surrogates, which no message can hold.
    from telex import BadOption

    try:
        (given or "").encode()
    except UnicodeEncodeError:
        raise BadOption(option, given, "it is not text in this terminal's encoding; write it in UTF-8") from None


def _content(line: str, as_text: bool) -> Any:
    import msgspec

    if as_text:
        return line
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line


def _headers(given: list[str]) -> dict[str, str] | None:
    from telex import BadOption

    headers = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BadOption("header", pair, "write it as name=value")
        _check_text("header", pair)
        headers[name] = value
    return headers or None
