"""``telex pub``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex.cli.client import DEFAULT_SERVER
from telex.cli.exits import Exit
from telex.cli.files import check_url
from telex.cli.options import ConnectTimeout, Json, Server, UrlNotServer, chosen_url, duration
from telex.cli.output import print_json, report

if TYPE_CHECKING:
    from telex.gateway.protocol import Publish, Published


def pub(
    ctx: typer.Context,
    topic: Annotated[str, typer.Argument(help="The topic's id, such as chatroom:lobby.")],
    content: Annotated[str, typer.Argument(help="The content; - reads standard input, one message a line.")],
    text: Annotated[bool, typer.Option("--text", help="Publish the content as text, even if it is JSON.")] = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Publish to a chat room, in this name.")] = None,
    id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The id of the message. A second message with the same id is not stored."),
    ] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header; may be repeated.")] = None,
    ttl: Annotated[
        float | None,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help="The message expires after this time: seconds, or text such as 5m.",
        ),
    ] = None,
    url: UrlNotServer = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """Publish to a topic of a running server, or with --url of a file or database, which is created if it does not
    exist.

    Content that is valid JSON is published as JSON, other content as text. Lines of standard input are published at the
    rate that the server allows: `telex chat` takes a burst of twenty, then ten a second.

    \b
    Examples:
      telex pub chatroom:lobby hello --name Ann
      telex pub orders:new '{"item": "tea", "count": 2}'
      telex pub notes:today 42 --text
      telex pub orders:new '{"item": "tea"}' --url sqlite:///shop.db
      telex pub offers:today '{"tea": 2.5}' --ttl 10m
      tail -f app.log | telex pub logs:app - --text
    """
    import uuid_utils

    from telex.gateway.protocol import Publish
    from telex.names import check_topic

    for option, given in {"content": content, "name": name, "id": id}.items():
        _check_text(option, given)
    check_topic(topic)
    _check_options(id, content, ttl)
    headers = _headers(header or [])
    url = chosen_url(ctx, url)
    with _to_server(server, connect_timeout) if url is None else _to_engine(url) as publish:
        for line in _lines(content):
            body = _content(line, text or name is not None)
            if name is not None:
                body = {"name": name, "text": line}
            done = publish(Publish(topic, body, id or str(uuid_utils.uuid7()), headers, ttl=ttl))
            if json:
                print_json({"topic": done.topic, "id": done.id, "seq": done.seq})
            elif content != "-":
                typer.echo(f"{done.topic} #{done.seq} {done.id}")


@contextmanager
def _to_server(server: str, timeout: float) -> Iterator[Callable[[Publish], Published]]:
    from telex.cli.client import publisher

    with publisher(server, timeout) as connected:
        yield connected.publish


@contextmanager
def _to_engine(url: str) -> Iterator[Callable[[Publish], Published]]:
    from telex.blocking import Hub
    from telex.gateway.protocol import Published

    check_url(url)
    with Hub(url) as hub:

        def publish(frame: Publish) -> Published:
            kept = hub.topic(frame.topic).publish(frame.content, id=frame.id, headers=frame.headers, ttl=frame.ttl)
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
            report(f"line {number} of standard input is not UTF-8; the lines before it are published; convert the rest")
            raise typer.Exit(Exit.ERROR) from None
        if text.strip():
            yield text.rstrip("\r\n")


def _check_text(option: str, given: str | None) -> None:
    # Bytes that do not fit the terminal's encoding become lone surrogates, which no message can contain.
    from telex import BadOption

    try:
        (given or "").encode()
    except UnicodeEncodeError:
        raise BadOption(option, given, "it does not fit this terminal's encoding; write it in UTF-8") from None


def _check_options(id: str | None, content: str, ttl: float | None) -> None:
    """Raise `BadOption` before anything is published."""
    from telex import BadOption
    from telex.message import expiring

    if id is not None and content == "-":
        fix = "one id names one message, but the content - publishes each line of the standard input; leave out --id"
        raise BadOption("id", id, fix)
    if ttl is not None:
        expiring(None, ttl, time())


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
