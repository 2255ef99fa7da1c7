"""`Printer`: messages on standard output, as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import typer

from telex.cli.client import Gone
from telex.cli.exits import tell
from telex.gateway.protocol import LostFrame, Messages


class Printer:
    """Prints frames until ``left`` messages have been printed; None for no end. ``dated`` lines have the date, too."""

    def __init__(self, json: bool, left: int | None, *, dated: bool = False) -> None:
        self.left = left
        self._json = json
        self._dated = dated

    def run(self, frames: Iterable[Messages | LostFrame | Gone]) -> None:
        """Print all frames, or the messages that are left."""
        for frame in frames:
            if isinstance(frame, Messages):
                for message in frame.messages[: self.left]:
                    _show(message, self._json, self._dated)
                    if self.left is not None:
                        self.left -= 1
                if self.left == 0:
                    return
            elif isinstance(frame, LostFrame):
                _show_lost(frame, self._json)
            else:
                tell(f"{frame}; connecting again", bad=False)


def _show(message: dict[str, Any], as_json: bool, dated: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(message).decode())
        return
    content = message["content"]
    shown = content if isinstance(content, str) else msgspec.json.encode(content).decode()
    when = datetime.fromisoformat(message["timestamp"]).astimezone()
    if dated:
        typer.echo(_harmless(f"{when:%Y-%m-%d %H:%M:%S}  {message['topic']} {message['seq']}  {shown}"))
        return
    head = typer.style(f"{when:%H:%M:%S} {_harmless(message['topic'])} #{message['seq']}", dim=True)
    typer.echo(f"{head} {_harmless(shown)}")


def _show_lost(frame: LostFrame, as_json: bool) -> None:
    if as_json:
        lost = {"count": frame.count, "first": frame.first, "last": frame.last, "reason": frame.reason}
        typer.echo(msgspec.json.encode({"lost": lost, "topic": frame.topic}).decode())
    elif frame.reason in ("epoch", "ahead"):
        tell(f"{frame.topic}: the server's log was begun anew; what came in between is lost", bad=False)
    else:
        tell(f"{frame.topic}: {frame.count} messages are lost ({frame.reason})", bad=False)


def _harmless(text: str) -> str:
    # What others wrote must not move this terminal's cursor or change its colours.
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)
