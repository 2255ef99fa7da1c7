"""`ProgressThrottle`: how often it is told how far a command is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from telex.commands.outcome import Progress
from telex.errors import TelexError

logger: logging.Logger = logging.getLogger("telex.commands")
PACE = 0.1
"""Seconds between two steps of progress of one command that are published."""


class ProgressThrottle:
    """Passes on steps of progress, at most one in `PACE` seconds; of those in between the last."""

    def __init__(self, publish: Callable[[Progress], object]) -> None:
        self._publish = publish
        self._last: Progress | None = None
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, step: Progress) -> None:
        """It has come so far."""
        if self._timer is not None:
            self._last = step
            return
        self._timer = asyncio.get_running_loop().call_later(PACE, self._ring)
        self.pass_on(step)

    def _ring(self) -> None:
        self._timer = None
        step, self._last = self._last, None
        if step is not None:
            self.tell(step)

    def pass_on(self, step: Progress) -> None:
        """Publish a step."""
        try:
            self._publish(step)
        except TelexError as error:
            logger.error("the progress of command %s %s was not published: %s", step.command, step.id, error)

    def close(self) -> Progress | None:
        """Nothing more is told. The step that was not told yet, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        step, self._last = self._last, None
        return step
