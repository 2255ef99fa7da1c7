"""`ProgressThrottle`: limits how often the progress of one command is published."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from telex.commands.outcome import Progress
from telex.errors import TelexError

logger: logging.Logger = logging.getLogger("telex.commands")
MIN_INTERVAL_SECONDS = 0.1
"""The shortest time between two published reports of one command."""


class ProgressThrottle:
    """A filter that publishes at most one report in `MIN_INTERVAL_SECONDS`: the last of the reports within that
    time.
    """

    def __init__(self, publish: Callable[[Progress], object]) -> None:
        self._publish = publish
        self._last: Progress | None = None
        self.timer: asyncio.TimerHandle | None = None

    def report(self, step: Progress) -> None:
        """Publish a report, now or when the interval is over."""
        if self.timer is not None:
            self._last = step
            return
        self.timer = asyncio.get_running_loop().call_later(MIN_INTERVAL_SECONDS, self._end_interval)
        self.publish(step)

    def _end_interval(self) -> None:
        self.timer = None
        step, self._last = self._last, None
        if step is not None:
            self.report(step)

    def publish(self, step: Progress) -> None:
        """Publish a report now."""
        try:
            self._publish(step)
        except TelexError as error:
            logger.error("the progress of command %s %s was not published: %s", step.command, step.id, error)

    def close(self) -> Progress | None:
        """Stop the timer, and return the last report if it was not published yet."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        step, self._last = self._last, None
        return step
