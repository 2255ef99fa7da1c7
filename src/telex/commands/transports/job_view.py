"""`JobView`: the commands of one name as their topics, records and heartbeats show them."""

from __future__ import annotations

from typing import Any

import msgspec

from telex.codec.content import from_json
from telex.commands.job import CommandInfo, ended_job, moment, with_content
from telex.commands.outcome import Outcome, OutcomeRef
from telex.commands.plan import Priority, priority_of
from telex.commands.transports.job_records import BEFORE, DEADLINE, JOB, JobRecord
from telex.commands.transports.worker_jobs import is_of_attempt
from telex.message import Message, time_of


class JobView:
    """The commands of one name. `add_request`, `add_outcome` and `add_record` are called in this order; then `jobs`
    has the commands that have certainly ended, and `open` those that have not, as far as is known.
    """

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.requests: dict[str, Message[Any]] = {}
        """The last message with each command, by the id of the command."""
        self.outcomes: dict[str, Outcome[Any] | OutcomeRef] = {}
        """The outcomes of the commands that have ended, by id."""
        self.records: dict[str, JobRecord] = {}

    def add_request(self, message: Message[Any]) -> None:
        """Add a message with a command."""
        id = message.headers.get(JOB, message.id)
        known = self.requests.get(id)
        if known is None or before_of(known) <= before_of(message):
            self.requests[id] = message

    def add_outcome(self, outcome: Outcome[Any] | OutcomeRef) -> None:
        """Add a published outcome. Outcomes from before a retry are left out."""
        request, known = self.requests.get(outcome.id), self.outcomes.get(outcome.id)
        if isinstance(outcome, Outcome):
            if request is not None and not is_of_attempt(outcome, before_of(request)):
                return
            if isinstance(known, Outcome) and known.attempt > outcome.attempt:
                return
        self.outcomes[outcome.id] = outcome

    def add_record(self, id: str, record: JobRecord) -> None:
        """Add a record. A retried command has no outcome before the retry's."""
        self.records[id] = record
        outcome = record.ended_with()
        request = self.requests.get(id)
        before = max(record.before, 0 if request is None else before_of(request))
        if outcome is not None and is_of_attempt(outcome, before):
            self.outcomes[id] = OutcomeRef(self.name, id, record.ref) if record.ref else outcome
        known = self.outcomes.get(id)
        if outcome is None and isinstance(known, Outcome) and not is_of_attempt(known, before):
            del self.outcomes[id]

    def has(self, id: str) -> bool:
        """Return true for a command of this name."""
        return id in self.requests or id in self.outcomes or id in self.records

    def open(self) -> list[str]:
        """Return the ids of the sent commands without an outcome that are not delayed, the oldest first."""
        return [id for id in self.requests if id not in self.outcomes]

    def ended(self) -> list[CommandInfo]:
        """Return the commands that have ended."""
        return [self._ended(id, outcome) for id, outcome in self.outcomes.items()]

    def _ended(self, id: str, outcome: Outcome[Any] | OutcomeRef) -> CommandInfo:
        record, job = self.records.get(id), self.job(id, "done", 0.0)
        known = outcome if isinstance(outcome, Outcome) else None if record is None else record.ended_with()
        return job if known is None else ended_job(job, known)

    def delayed(self) -> list[CommandInfo]:
        """Return the delayed commands."""
        waiting = [id for id, record in self.records.items() if record.state == "delayed"]
        return [self.job(id, "delayed", 0.0) for id in waiting if id not in self.outcomes and id not in self.requests]

    def job(self, id: str, state: Any, ahead: float, since: float | None = None) -> CommandInfo:
        """Return a command in a state. ``ahead`` is the time by `Engine.now` less the time of day, in seconds, and
        ``since`` the time by `Engine.now` since when it runs.
        """
        request, record = self.requests.get(id), self.records.get(id)
        key: str | None = None
        level: Priority = "normal"
        sent: float | None = None
        deadline: float | None = None
        if request is not None:
            key, sent = request.key, time_of(request)
            level = priority_of(request.topic)
            deadline = float(request.headers[DEADLINE]) - ahead if DEADLINE in request.headers else None
        if record is not None:
            key, level, sent = record.key, record.priority, record.sent_at
        elif request is None and id in self.outcomes and isinstance(outcome := self.outcomes[id], Outcome):
            key = outcome.key
        return CommandInfo(
            id=id,
            command=self.name,
            state=state,
            key=key,
            priority=level,
            attempt=(before_of(request) if request is not None else 0) + (state == "running"),
            sent_at=moment(sent),
            due_at=None if record is None else moment(record.due),
            expires_at=moment(deadline),
            running_since=None if since is None else moment(since - ahead),
        )

    def with_content(self, job: CommandInfo) -> CommandInfo:
        """Return a command of this view with its content, if the topic or the record has it."""
        request, record = self.requests.get(job.id), self.records.get(job.id)
        if request is not None:
            return with_content(job, request.content, request.headers)
        if record is None or record.content is msgspec.UNSET:
            return job
        return with_content(job, from_json(bytes(record.content)))


def before_of(message: Message[Any]) -> int:
    """Return the number of attempts before the retry that a message is."""
    number = message.headers.get(BEFORE, "0")
    return int(number) if number.isdecimal() else 0


def reply_of(content: object) -> Outcome[Any] | OutcomeRef | None:
    """Return the outcome in a message of ``$command:NAME:outcome``; None for other content."""
    if isinstance(content, (Outcome, OutcomeRef)):
        return content
    try:
        return msgspec.convert(content, Outcome[Any] | OutcomeRef)
    except msgspec.ValidationError:
        return None
