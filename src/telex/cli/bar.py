"""`Bar`: a progress bar on a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from telex.cli.output import printable

if TYPE_CHECKING:
    from typing import Self

    from rich.progress import Progress


class Bar:
    """A progress bar on standard error, shown only on a terminal and if ``wanted``, and removed at the end."""

    def __init__(self, title: str, *, wanted: bool = True) -> None:
        self._title = title
        self._wanted = wanted
        self._shown: Progress | None = None

    def __enter__(self) -> Self:
        if self._wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            # Texts of other programs are shown as they are, never as markup.
            text = TextColumn("{task.description}", markup=False)
            percent = TextColumn("{task.percentage:>3.0f}%", markup=False)
            console = Console(stderr=True)
            self._shown = Progress(text, BarColumn(), percent, TimeElapsedColumn(), console=console, transient=True)
            self._shown.add_task(printable(self._title), total=None)
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def update(self, fraction: float | None, text: str) -> None:
        """Show the progress, from 0 to 1, or None while it is not known."""
        if self._shown is not None:
            description = printable(f"{self._title}  {text}" if text else self._title)
            total = None if fraction is None else 1.0
            self._shown.update(self._shown.task_ids[0], total=total, completed=fraction, description=description)
