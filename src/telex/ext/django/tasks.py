"""`TelexBackend`: a backend of Django's tasks (``django.tasks`` of Django 6, or the package django-tasks before it).

TASKS = {"default": {"BACKEND": "telex.ext.django.tasks.TelexBackend", "OPTIONS": {"url": "postgresql://shop@db/shop"}}}

A task is a command, ``django:<queue>``; ``manage.py telex worker`` carries them out. The interface is that of Django's
documentation, "Tasks framework" (https://docs.djangoproject.com/en/stable/topics/tasks/).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from traceback import format_exception
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
from django.db import close_old_connections
from django.utils.module_loading import import_string

from telex.blocking.thread import HubThread
from telex.commands.context import CommandContext
from telex.commands.job import MAX_LISTED
from telex.commands.outcome import Outcome
from telex.commands.plan import Priority
from telex.durations import seconds
from telex.errors import BadOption, CommandError, Misuse, NoSuchCommand, text_of
from telex.hub import Hub, runtime_of

try:
    from django.tasks import base
    from django.tasks.backends import base as backends
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils.json import normalize_json
except ImportError:
    try:
        from django_tasks import base
        from django_tasks.backends import base as backends
        from django_tasks.exceptions import TaskResultDoesNotExist
        from django_tasks.signals import task_enqueued, task_finished, task_started
        from django_tasks.utils import normalize_json
    except ImportError:
        raise Misuse("use Django's tasks", "this Django has none: use Django 6, or pip install django-tasks") from None

if TYPE_CHECKING:

    class BaseTaskBackend:
        """The part of the base class that is used here: Django has no types."""

        alias: str
        options: dict[str, Any]
        queues: set[str]

        def __init__(self, alias: str, params: dict[str, Any]) -> None: ...

        def validate_task(self, task: Any) -> None: ...

else:
    BaseTaskBackend = backends.BaseTaskBackend

R = TypeVar("R")
BUCKET = "django-tasks"
"""The bucket of the records of enqueued tasks."""
KEEP = "7d"
"""The time for which results are kept; the option ``keep`` changes it."""
NAMES = ("url", "keep", "concurrency")
"""The options of the backend."""


class EnqueuedTask(msgspec.Struct, frozen=True):
    """A task as it was enqueued: the path of its function, its arguments, and what ``using`` changes. Times are in
    seconds since 1970.
    """

    path: str
    args: list[Any]
    kwargs: dict[str, Any]
    at: float
    queue: str
    priority: int
    run_after: float | None


class TelexBackend(BaseTaskBackend):
    """A task backend on an engine of telex. Its options are ``url`` (default: TELEX_URL), ``keep`` (the time for which
    results are kept, 7 days) and ``concurrency`` (tasks that one worker runs at once, 16).

    A task is stored when ``enqueue`` returns. It is not part of a transaction: enqueue it by ``transaction.on_commit``.
    When a worker dies, another worker runs its tasks again. Each process opens the engine at its first use.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        unknown = sorted(set(self.options) - set(NAMES))
        if unknown:
            raise Misuse(f"give TASKS the option {unknown[0]!r}", f"the options are {', '.join(NAMES)}")
        self.url: str = self.options.get("url") or os.environ.get("TELEX_URL") or ""
        """The URL of the engine."""
        if not self.url or self.url.startswith("memory:"):
            raise Misuse(
                "queue tasks in the memory of one process",
                "give the URL of a file or a database: TASKS = {'default': {..., 'OPTIONS': {'url': 'sqlite:///x.db'}}}",
            )
        self.keep: float = seconds(self.options.get("keep", KEEP), "keep")
        """The seconds for which results are kept."""
        self.concurrency: int = self.options.get("concurrency", 16)
        """The number of tasks that one worker runs at once."""
        self._lock = threading.Lock()
        self._client: _Client | None = None

    @property
    def client(self) -> _Client:
        """The open hub of this process, which the first call opens. Raises `ConnectFailed`."""
        with self._lock:
            if self._client is None or self._client.process != os.getpid():
                self._client = _Client(self.url)
            return self._client

    def close(self) -> None:
        """Close the hub of this process. It may be called twice."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and client.process == os.getpid():
            client.close()

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Store a task, and return its ``TaskResult``. Raises `EngineFailed`; ``TypeError`` for arguments without a
        JSON form.
        """
        self.validate_task(task)
        given, named = normalize_json(list(args)), normalize_json(dict(kwargs))
        now, after = datetime.now(UTC).timestamp(), None if task.run_after is None else task.run_after.timestamp()
        enqueued = EnqueuedTask(task.module_path, given, named, now, task.queue_name, task.priority, after)
        result = self._result(task, self.client.run(self._enqueue(task, enqueued)), enqueued)
        task_enqueued.send(type(self), task_result=result)
        return result

    async def _enqueue(self, task: Any, enqueued: EnqueuedTask) -> str:
        hub, priority = self.client.hub, level(task.priority)
        content = msgspec.to_builtins(enqueued)
        ticket = await hub.send(command_of(task.queue_name), content, at=task.run_after, priority=priority)
        records, expires = runtime_of(hub).records("tasks of Django"), enqueued.at + self.keep
        await records.put(BUCKET, ticket.id, msgspec.json.encode(enqueued), 0, expires)
        return ticket.id

    def get_result(self, result_id: str) -> Any:
        """Return the ``TaskResult`` of a task. Raises ``TaskResultDoesNotExist``, `EngineFailed`."""
        return self.client.run(self._get_result(result_id))

    async def _get_result(self, id: str) -> Any:
        hub = self.client.hub
        record = await runtime_of(hub).records("tasks of Django").get(BUCKET, id)
        if record is None:
            raise TaskResultDoesNotExist(id)
        enqueued = msgspec.json.decode(record.value, type=EnqueuedTask)
        task = self._task(enqueued)
        try:
            ticket = await hub.ticket(id)
        except NoSuchCommand:
            return self._result(task, id, enqueued)
        if ticket.done:
            return self._finished(task, enqueued, await ticket.outcome())
        running = await hub.commands(state="running", name=command_of(task.queue_name), limit=MAX_LISTED)
        status = base.TaskResultStatus.RUNNING if any(each.id == id for each in running) else None
        return self._result(task, id, enqueued, status=status)

    def _task(self, enqueued: EnqueuedTask) -> Any:
        """Return the task as it was enqueued. Raises ``ImportError``, ``InvalidTaskError``."""
        after = None if enqueued.run_after is None else datetime.fromtimestamp(enqueued.run_after, UTC)
        changes = {"queue_name": enqueued.queue, "priority": enqueued.priority, "run_after": after}
        return import_string(enqueued.path).using(**changes, backend=self.alias)

    def _finished(self, task: Any, enqueued: EnqueuedTask, outcome: Outcome[Any]) -> Any:
        error, found = outcome.error, outcome.result if outcome.error is None else outcome.error.data
        found = found if isinstance(found, dict) else {}
        errors = []
        if error is not None:
            path, trace = found.get("class", "telex.CommandFailed"), found.get("traceback", error.message)
            errors.append(base.TaskError(exception_class_path=path, traceback=trace))
        result = self._result(
            task,
            outcome.id,
            enqueued,
            status=base.TaskResultStatus.SUCCESSFUL if error is None else base.TaskResultStatus.FAILED,
            started=found.get("started"),
            finished_at=outcome.completed_at,
            errors=errors,
            attempts=outcome.attempt,
        )
        object.__setattr__(result, "_return_value", found.get("value"))  # as Django's own backends do
        return result

    def _result(
        self,
        task: Any,
        id: str,
        enqueued: EnqueuedTask,
        *,
        status: Any = None,
        started: float | None = None,
        finished_at: datetime | None = None,
        errors: Sequence[Any] = (),
        attempts: int = 0,
    ) -> Any:
        started_at = None if started is None else datetime.fromtimestamp(started, UTC)
        return base.TaskResult(
            task=task,
            id=id,
            status=status or base.TaskResultStatus.READY,
            enqueued_at=datetime.fromtimestamp(enqueued.at, UTC),
            started_at=started_at,
            last_attempted_at=started_at,
            finished_at=finished_at,
            args=enqueued.args,
            kwargs=enqueued.kwargs,
            backend=self.alias,
            errors=list(errors),
            worker_ids=[f"attempt {number + 1}" for number in range(attempts)],
        )

    # -- the worker

    def worker(self, queues: Iterable[str] | None = None) -> Hub:
        """Return a hub that carries out the tasks of ``queues`` (default: all of the backend), to be opened.
        Raises `BadOption` for a queue that the backend does not have, and without queues.
        """
        hub, served = Hub(self.url), set(self.queues if queues is None else queues)
        if not served:
            raise BadOption("queues", queues, "QUEUES in TASKS allows all queues: name those of this worker by --queue")
        if self.queues and not served <= self.queues:
            have = f"the queues in TASKS are {', '.join(sorted(self.queues))}"
            raise BadOption("queues", sorted(served - self.queues), f"{have}; name one of them, or add it to QUEUES")
        for queue in sorted(served):
            hub.command(command_of(queue), keep=self.keep, concurrency=self.concurrency)(self._carry_out)
        return hub

    def _carry_out(self, enqueued: EnqueuedTask, context: CommandContext[EnqueuedTask]) -> dict[str, Any]:
        """Run one task, in a thread of the worker. Return its value and the time of its begin."""
        task, started = self._task(enqueued), datetime.now(UTC).timestamp()

        def result_with(status: Any, finished_at: datetime | None = None) -> Any:
            attempts, id = context.attempt, context.id
            return self._result(
                task, id, enqueued, status=status, started=started, finished_at=finished_at, attempts=attempts
            )

        result, end = result_with(base.TaskResultStatus.RUNNING), base.TaskResultStatus.FAILED
        task_started.send(type(self), task_result=result)
        close_old_connections()
        try:
            given = (base.TaskContext(task_result=result), *enqueued.args) if task.takes_context else enqueued.args
            value = normalize_json(task.call(*given, **enqueued.kwargs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in Django's own backends, sys.exit() fails the task and not its worker
            kind, trace = type(error), "".join(format_exception(error))
            data = {"class": f"{kind.__module__}.{kind.__qualname__}", "traceback": trace, "started": started}
            raise CommandError(text_of(error), code="task_failed", data=data) from error
        else:
            end = base.TaskResultStatus.SUCCESSFUL
            return {"value": value, "started": started}
        finally:
            close_old_connections()
            task_finished.send(type(self), task_result=result_with(end, datetime.now(UTC)))


class _Client:
    """A hub that is open in a thread of this process."""

    def __init__(self, url: str) -> None:
        self.hub: Hub = Hub(url)
        self.process: int = os.getpid()
        self._thread = HubThread("telex tasks", self.hub.aclose)
        self._thread.start()
        try:
            self.run(self.hub.__aenter__())
        except BaseException:
            self._thread.stop()
            raise

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return self._thread.wait(work)

    def close(self) -> None:
        try:
            self.run(self.hub.aclose())
        finally:
            self._thread.stop()


def backend_of(alias: str) -> Any:
    """Return the task backend of this name in the settings. Raises ``ImproperlyConfigured``, `Misuse`."""
    return import_module(base.__name__.rpartition(".")[0]).task_backends[alias]


def command_of(queue: str) -> str:
    """Return the name of the command for the tasks of a queue, whose name may hold any characters."""
    return f"django:{quote(queue, safe='')}"


def level(priority: int) -> Priority:
    """Return the priority of a command for that of a task, from -100 to 100."""
    return "low" if priority < 0 else "high" if priority > 0 else "normal"
