"""``telex sub``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from telex.cli.client import Gone, follow
from telex.cli.exits import Exit, tell
from telex.cli.options import DEFAULT_SERVER, ConnectTimeout, Json, Server, duration
from telex.gateway.protocol import LostFrame, Messages


def sub(
    topic: Annotated[str, typer.Argument(help="A topic's id, or a pattern such as 'chatroom:*'.")],
    since: Annotated[
        str,
        typer.Option(
            metavar="WHERE", help="'earliest', a number of messages back, a time back such as 10m, or a position."
        ),
    ] = "new",
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many messages.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Stop after so long: seconds, or text such as 5m."),
    ] = None,
    server: Server = DEFAULT_SERVER,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """Print the messages of a topic, or of all topics that fit a pattern, as they come.

    A connection that is lost is made again, and what was missed is printed. What cannot be recovered is told.
    With --count, running out of --timeout first is exit code 4.

    \b
    Examples:
      telex sub chatroom:lobby
      telex sub 'chatroom:*' --since 20
      telex sub orders:new --since earliest --json | jq .content
      telex sub jobs:done --count 1 --timeout 5m
    """
    from telex import Timeout
    from telex.gateway.protocol import parse_since
    from telex.names import check_pattern

    check_pattern(topic)
    start = int(since) if since.isascii() and since.isdigit() else since
    parse_since(start)
    deadline = None if timeout is None else time.monotonic() + timeout
    printer = _Printer(json, count)
    try:
        printer.run(follow(server, topic, start, connect_timeout, deadline))
    except Timeout:
        if printer.left:
            tell(f"{timeout:g} s are over, and {printer.left} of {count} messages have not come")
            raise typer.Exit(Exit.TIMEOUT) from None


class _Printer:
    """Prints frames until ``left`` messages have been printed; None for no end."""

    def __init__(self, json: bool, left: int | None) -> None:
        self.left = left
        self._json = json

    def run(self, frames: Iterable[Messages | LostFrame | Gone]) -> None:
        for frame in frames:
            if isinstance(frame, Messages):
                for message in frame.messages[: self.left]:
                    _show(message, self._json)
                    if self.left is not None:
                        self.left -= 1
                if self.left == 0:
                    return
            elif isinstance(frame, LostFrame):
                _show_lost(frame, self._json)
            else:
                tell(f"{frame}; connecting again", bad=False)


def _show(message: dict[str, Any], as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(message).decode())
        return
    content = message["content"]
    shown = content if isinstance(content, str) else msgspec.json.encode(content).decode()
    when = _local_time(message["timestamp"])
    head = typer.style(f"{when} {_harmless(message['topic'])} #{message['seq']}", dim=True)
    typer.echo(f"{head} {_harmless(shown)}")


def _show_lost(frame: LostFrame, as_json: bool) -> None:
    import msgspec

    if as_json:
        lost = {"count": frame.count, "first": frame.first, "last": frame.last, "reason": frame.reason}
        typer.echo(msgspec.json.encode({"lost": lost, "topic": frame.topic}).decode())
    elif frame.reason in ("epoch", "ahead"):
        tell(f"{frame.topic}: the server's log was begun anew; what came in between is lost", bad=False)
    else:
        tell(f"{frame.topic}: {frame.count} messages are lost ({frame.reason})", bad=False)


def _local_time(timestamp: str) -> str:
    from datetime import datetime

    return f"{datetime.fromisoformat(timestamp).astimezone():%H:%M:%S}"


def _harmless(text: str) -> str:
    # What others wrote must not move this terminal's cursor or change its colours.
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)
