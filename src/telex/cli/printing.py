"""`Printer`: messages on standard output, for people or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import typer

from telex.cli.client import Gone
from telex.cli.output import counted, print_json, report, to_json
from telex.gateway.protocol import LostFrame, Messages


class Printer:
    """A printer of the messages in frames, at most ``left``; None prints all. ``dated`` lines begin with a date."""

    def __init__(self, json: bool, left: int | None, *, dated: bool = False) -> None:
        self.left = left
        self._json = json
        self._dated = dated

    def run(self, frames: Iterable[Messages | LostFrame | Gone]) -> None:
        """Print the frames, until ``left`` messages were printed."""
        for frame in frames:
            if isinstance(frame, Messages):
                for message in frame.messages[: self.left]:
                    _print(message, self._json, self._dated)
                    if self.left is not None:
                        self.left -= 1
                if self.left == 0:
                    return
            elif isinstance(frame, LostFrame):
                _print_lost(frame, self._json)
            else:
                report(f"{frame}; connecting again", bad=False)


def _print(message: dict[str, Any], as_json: bool, dated: bool) -> None:
    if as_json:
        print_json(message)
        return
    content = message["content"]
    shown = content if isinstance(content, str) else to_json(content)
    when = datetime.fromisoformat(message["timestamp"]).astimezone()
    if dated:
        typer.echo(_harmless(f"{when:%Y-%m-%d %H:%M:%S}  {message['topic']} {message['seq']}  {shown}"))
        return
    head = typer.style(f"{when:%H:%M:%S} {_harmless(message['topic'])} #{message['seq']}", dim=True)
    typer.echo(f"{head} {_harmless(shown)}")


def _print_lost(frame: LostFrame, as_json: bool) -> None:
    if as_json:
        lost = {"count": frame.count, "first": frame.first, "last": frame.last, "reason": frame.reason}
        print_json({"lost": lost, "topic": frame.topic})
    elif frame.reason in ("epoch", "ahead"):
        report(f"{frame.topic}: the log begins again; the messages in between are lost", bad=False)
    else:
        gone = f"{counted(frame.count, 'message')} {'is' if frame.count == 1 else 'are'} lost"
        report(f"{frame.topic}: {gone} ({frame.reason})", bad=False)


def _harmless(text: str) -> str:
    # Content must not move this terminal's cursor or change its colours.
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)
