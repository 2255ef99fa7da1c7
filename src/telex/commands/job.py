"""`CommandInfo`: a command that was sent, and its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from telex.checks import whole
from telex.codec.content import from_json, to_json
from telex.commands.outcome import CANCELLED, EXPIRED, Outcome
from telex.commands.plan import Priority
from telex.errors import BadOption, shown
from telex.message import check_id
from telex.once.machine import Failure

CommandState = Literal["delayed", "queued", "running", "done", "failed", "cancelled", "expired"]
STATES: tuple[CommandState, ...] = get_args(CommandState)
ENDED: frozenset[CommandState] = frozenset(("done", "failed", "cancelled", "expired"))
MAX_LISTED = 1000
"""The largest number of commands that are listed at once."""
MAX_CONTENT_BYTES = 65_536
"""The largest size of content in JSON that `CommandInfo` has."""
OWN_HEADERS = "telex-"
"""The beginning of the headers by which the hubs know a command; `CommandInfo` does not have them."""


class CommandInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was sent, as `Hub.commands` lists it.

    ``state`` is ``delayed`` until the command is ``due_at``, then ``queued``, ``running``, and one of ``done``,
    ``failed``, ``cancelled`` and ``expired``. ``attempt`` is the number of the last known attempt, 0 before the first.
    A time is None when it is unknown or has not come. A result of more than 256 KiB is left out: the ticket has it.

    ``content`` is the content with which the command was sent, as plain data. ``content_bytes`` is its size in JSON;
    None when the content is no longer stored. Content of more than 64 KiB is left out, and only its size is set.
    ``headers`` are those that the sender passed on, such as ``traceparent`` and ``correlation-id``.
    """

    id: str
    command: str
    state: CommandState
    key: str | None = None
    priority: Priority = "normal"
    attempt: int = 0
    sent_at: datetime | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    running_since: datetime | None = None
    completed_at: datetime | None = None
    result: Any = None
    error: Failure | None = None
    content: Any = None
    content_bytes: int | None = None
    headers: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        """True when the command has its outcome."""
        return self.state in ENDED


def state_of(outcome: Outcome[Any]) -> CommandState:
    """Return the state of a command with this outcome."""
    if outcome.error is None:
        return "done"
    code = outcome.error.code
    return "cancelled" if code == CANCELLED else "expired" if code == EXPIRED else "failed"


ONLY_FAILED = "only a command that failed or expired runs again"
"""The end of the errors of `check_failed`."""


def check_failed(id: str, outcome: Outcome[Any] | None) -> Outcome[Any]:
    """Return the outcome of the command ``id``, which may run again. Raises `BadOption` when it has not failed."""
    if outcome is None:
        raise BadOption("id", id, f"the command has not ended, and {ONLY_FAILED}: wait for its outcome, or cancel it")
    state = state_of(outcome)
    if state not in ("failed", "expired"):
        raise BadOption("id", id, f"the command is {state}, and {ONLY_FAILED}: send a new one")
    return outcome


def ended_job(job: CommandInfo, outcome: Outcome[Any]) -> CommandInfo:
    """Return a job with its outcome."""
    return msgspec.structs.replace(
        job,
        state=state_of(outcome),
        attempt=outcome.attempt,
        running_since=None,
        completed_at=outcome.completed_at,
        result=outcome.result,
        error=outcome.error,
    )


def with_content(job: CommandInfo, content: object, headers: Mapping[str, str] | None = None) -> CommandInfo:
    """Return a job with the content and the headers with which it was sent. Content without a JSON form, which a hub
    in memory takes, becomes text.
    """
    plain: object
    try:
        data = to_json(content)
    except (TypeError, ValueError, RecursionError):
        plain = shown(content)
        data = plain.encode()
        plain = plain if len(data) <= MAX_CONTENT_BYTES else None
    else:
        plain = from_json(data) if len(data) <= MAX_CONTENT_BYTES else None
    theirs = {name: value for name, value in (headers or {}).items() if not name.startswith(OWN_HEADERS)}
    return msgspec.structs.replace(job, content=plain, content_bytes=len(data), headers=theirs)


def moment(seconds: float | None) -> datetime | None:
    """Return seconds since 1970 as an aware datetime."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class JobFilter(msgspec.Struct, frozen=True):
    """The options of `Hub.commands`. With several ``states``, ``limit`` is the largest number of each."""

    states: frozenset[CommandState] | None
    name: str | None
    limit: int
    before: str | None
    id: str | None = None

    def takes(self, job: CommandInfo) -> bool:
        """Return true for a job in a wanted state."""
        return self.states is None or job.state in self.states

    def first(self, jobs: list[CommandInfo]) -> list[CommandInfo]:
        """Return the first of these jobs, as many as the limit allows."""
        if self.states is None or len(self.states) == 1:
            return jobs[: self.limit]
        counts = Counter[str]()
        found = []
        for job in jobs:
            counts[job.state] += 1
            if counts[job.state] <= self.limit:
                found.append(job)
        return found


def filter_for(state: object, name: str | None, limit: object, before: str | None, id: str | None = None) -> JobFilter:
    """Return the checked options of `Hub.commands`. Raises `BadOption`."""
    if state is not None and state not in STATES:
        raise BadOption("state", state, f"it must be one of {', '.join(STATES)}")
    fix = f"it must be from 1 to {MAX_LISTED}; for more, list again with before= the id of the last"
    checked = whole(limit, "limit", fix, most=MAX_LISTED)
    if before is not None and not isinstance(before, str):
        raise BadOption("before", before, "it must be the id of a command, the last of the page before")
    states = None if state is None else frozenset((state,))
    return JobFilter(states, name, checked, before, None if id is None else check_id(id))
