"""`JobReader`: the running, waiting and failed commands of an engine, as the page shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from math import inf
from time import monotonic

import msgspec

from telex.codec.content import to_json
from telex.commands.job import CommandInfo, CommandState, JobFilter
from telex.errors import shown
from telex.hub import Hub, dispatcher_of

SHOWN: tuple[CommandState, ...] = ("running", "failed", "expired", "queued", "delayed")
"""The states of the commands that the page shows, in the order of the page."""
MAX_JOBS = 30
"""The largest number of commands of each state that a snapshot shows."""
MAX_SHARE = 0.1
"""The share of the time that is spent on listing commands. An engine with many messages is listed less often."""
MAX_TEXT = 200
"""The largest number of characters of a content, a reason or a key."""


class JobState(msgspec.Struct, frozen=True):
    """A command. ``content``, ``key`` and ``error`` are shortened. ``content`` is None when it cannot be read.
    ``since`` is the time since when the command is in its state, for a delayed one the time at which it is due.
    """

    id: str
    command: str
    state: str
    attempt: int
    key: str
    content: str | None
    since: datetime | None
    error: str


class JobReader:
    """Reads the commands of the engine of a hub, which is open."""

    def __init__(self, hub: Hub, *, most: int = MAX_JOBS, clock: Callable[[], float] = monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._wanted = JobFilter(frozenset(SHOWN), None, most + 1, None)
        self._most = most
        self._jobs: list[JobState] = []
        self._more: list[str] = []
        self._due = -inf

    def forget(self) -> None:
        """Have the next `read` list the commands again."""
        self._due = -inf

    async def read(self) -> tuple[list[JobState], list[str]]:
        """Return the newest commands of each state, and the states with more of them; those of the last listing when it
        has taken long. Raises `Misuse`, `EngineFailed`.
        """
        begin = self._clock()
        if begin >= self._due:
            found = await dispatcher_of(self._hub).jobs(self._wanted)
            counts = Counter(job.state for job in found)
            self._more = [state for state in SHOWN if counts[state] > self._most]
            left = dict.fromkeys(SHOWN, self._most)
            self._jobs = []
            for job in sorted(found, key=lambda job: SHOWN.index(job.state)):  # the newest of each state first
                left[job.state] -= 1
                if left[job.state] >= 0:
                    self._jobs.append(_state_of(job))
            end = self._clock()
            self._due = end + (end - begin) / MAX_SHARE
        return self._jobs, self._more


def _state_of(job: CommandInfo) -> JobState:
    content = None if job.content_bytes is None else short(job.content)
    if job.content is None and job.content_bytes is not None and job.content_bytes > len("null"):
        content = f"{job.content_bytes:,} bytes"
    since = job.completed_at or job.running_since or (job.due_at if job.state == "delayed" else job.sent_at)
    error = "" if job.error is None else f"{job.error.type}: {job.error.message}"[:MAX_TEXT]
    key = (job.key or "")[:MAX_TEXT]
    return JobState(job.id, job.command, job.state, job.attempt, key, content, since, error)


def short(content: object) -> str:
    """Return content as at most `MAX_TEXT` characters of JSON, or of its text when it has no JSON form."""
    try:
        text = to_json(content)[: 4 * MAX_TEXT].decode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError):
        text = shown(content)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
