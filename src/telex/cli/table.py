"""A table for people: columns under a line of headings."""

from __future__ import annotations

from collections.abc import Sequence

from telex.cli.exits import tell
from telex.cli.files import show


def show_table(headings: Sequence[str], rows: Sequence[Sequence[object]], what: str) -> None:
    """Print rows in columns: numbers to the right, text to the left. Without rows, say so on standard error."""
    if not rows:
        tell(f"there are no {what}", bad=False)
        return
    numeric = [all(isinstance(cell, int) for cell in column) for column in zip(*rows, strict=True)]
    texts = [list(headings), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = zip(row, widths, numeric, strict=True)
        show("  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells).rstrip())


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
