"""`Bar`: how far a command is, for people."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from rich.progress import Progress


class Bar:
    """A bar on standard error, if that is a terminal; gone when it is left. Not ``wanted``, it is nowhere."""

    def __init__(self, title: str, *, wanted: bool = True) -> None:
        self._title = title
        self._wanted = wanted
        self._shown: Progress | None = None

    def __enter__(self) -> Self:
        if self._wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            # What others wrote is text here, never markup.
            text = TextColumn("{task.description}", markup=False)
            percent = TextColumn("{task.percentage:>3.0f}%", markup=False)
            console = Console(stderr=True)
            self._shown = Progress(text, BarColumn(), percent, TimeElapsedColumn(), console=console, transient=True)
            self._shown.add_task(_plain(self._title), total=None)
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def tell(self, fraction: float | None, text: str) -> None:
        """It has come so far; None while nobody knows how far it is."""
        if self._shown is not None:
            description = _plain(f"{self._title}  {text}" if text else self._title)
            total = None if fraction is None else 1.0
            self._shown.update(self._shown.task_ids[0], total=total, completed=fraction, description=description)


def _plain(text: str) -> str:
    # It must not move this terminal's cursor.
    return "".join(c if c.isprintable() else " " for c in text)
