"""Lines, tables and JSON on standard output; reports and questions on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

import typer

from telex.cli.exits import Exit

MAX_REPORT = 2000
"""The number of characters of a report; of a longer one, such as one with a very long name, the middle is left out."""


def report(text: str, *, bad: bool = True) -> None:
    """Print a line on standard error: red for an error, yellow for a notice, without colour unless it is a terminal."""
    if len(text) > MAX_REPORT:
        text = f"{text[: MAX_REPORT // 2]} ... {text[-MAX_REPORT // 2 :]}"
    typer.secho(f"telex: {text}", err=True, fg=typer.colors.RED if bad else typer.colors.YELLOW)


def printable(text: str) -> str:
    """Replace each character that would move the terminal's cursor or change its colours by a space."""
    return "".join(c if c.isprintable() else " " for c in text)


def print_line(text: str) -> None:
    """Print one printable line."""
    typer.echo(printable(text))


def to_json(value: object) -> str:
    """Return ``value`` as one line of JSON."""
    import msgspec

    return msgspec.json.encode(value).decode()


def print_json(value: object) -> None:
    """Print one line of JSON."""
    typer.echo(to_json(value))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]], kind: str) -> None:
    """Print a table: numbers to the right, text to the left. Without rows, report that there are no ``kind``."""
    if not rows:
        report(f"there are no {kind}", bad=False)
        return
    numeric = [all(isinstance(cell, int) for cell in column) for column in zip(*rows, strict=True)]
    texts = [list(headings), *([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = zip(row, widths, numeric, strict=True)
        print_line(
            "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells).rstrip()
        )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 message`` and ``2,000 messages``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def was(number: int) -> str:
    """Return ``was`` for one, ``were`` for other numbers."""
    return "was" if number == 1 else "were"


def local_time(moment: datetime) -> str:
    """Return a time in the time zone of this machine, to the second."""
    return moment.astimezone().isoformat(" ", "seconds")


def confirm(lines: Iterable[str], question: str) -> None:
    """Print ``lines`` and ask; end the program unless the answer is yes. Do not ask when standard input is not a
    terminal.
    """
    if not sys.stdin.isatty():
        return
    for line in lines:
        typer.echo(printable(line), err=True)
    # typer.confirm would write to standard output too.
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        report("nothing was forgotten")
        raise typer.Exit(Exit.ERROR)
