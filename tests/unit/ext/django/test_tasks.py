"""The backend of Django's tasks: enqueued in a process without a loop, carried out by a worker, and looked up by id."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.test import override_settings

import telex
from telex.blocking.thread import HubThread

BACKEND = "telex.ext.django.tasks.TelexBackend"


def of_django(module: str = "") -> Any:
    """A module of the tasks of Django 6, or of the package for the versions before."""
    package = "django.tasks" if django.VERSION >= (6,) else "django_tasks"
    return import_module(f"{package}.{module}" if module else package)


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Any]:
    """The tasks of a project whose default backend is telex on a file."""
    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
        django.setup()
    options = {"url": f"sqlite:///{tmp_path}/tasks.db"}
    backend = {"BACKEND": BACKEND, "QUEUES": ["default", "mails", "two words"], "OPTIONS": options}
    with override_settings(USE_TZ=True, TASKS={"default": backend}):
        from tests.unit.ext.django import shop_tasks

        task_backends = of_django().task_backends
        task_backends.settings = task_backends.configure_settings(None)
        with suppress(AttributeError):
            del task_backends["default"]
        yield shop_tasks
        task_backends["default"].close()
        task_backends["default"].close()


@contextmanager
def worker(queues: list[str] | None = None) -> Iterator[telex.Hub]:
    """A worker, in a thread of its own."""
    hub = of_django().task_backends["default"].worker(queues)
    thread = HubThread("worker", hub.aclose)
    thread.start()
    try:
        thread.wait(hub.__aenter__())
        yield hub
    finally:
        thread.wait(hub.aclose())
        thread.stop()


def finished(result: Any) -> Any:
    """The result of a task when it has finished."""
    client = result.task.get_backend().client

    async def outcome() -> None:
        await (await client.hub.ticket(result.id)).outcome(timeout=20)

    client.run(outcome())
    result.refresh()
    assert result.is_finished
    return result


@pytest.mark.slow
def test_a_task_is_stored_and_carried_out_by_a_worker(tasks: Any) -> None:
    result = tasks.add.enqueue(1, right=2)
    assert (result.status, result.args, result.kwargs, result.attempts) == ("READY", [1], {"right": 2}, 0)
    assert tasks.add.get_result(result.id).status == "READY"
    with pytest.raises(ValueError, match="not finished"):
        _: Any = result.return_value
    with worker():
        assert finished(result).return_value == 3
        assert result.status == "SUCCESSFUL"
        assert result.attempts == 1
        assert result.enqueued_at <= result.started_at <= result.finished_at
        assert finished(tasks.mail.enqueue("ann")).return_value == "mailed ann"
        context = tasks.attempt.enqueue()
        assert finished(context).return_value == [1, context.id]


@pytest.mark.slow
def test_an_error_of_a_task_has_its_class_and_traceback(tasks: Any) -> None:
    with worker():
        result = finished(tasks.fail.enqueue("there is none"))
    (error,) = result.errors
    assert result.status == "FAILED"
    assert error.exception_class is LookupError
    assert "there is none" in error.traceback
    with pytest.raises(ValueError, match="failed"):
        _: Any = result.return_value


@pytest.mark.slow
def test_a_task_that_exits_has_failed_and_its_worker_goes_on(tasks: Any) -> None:
    with worker():
        (error,) = finished(tasks.leave.enqueue()).errors
        assert error.exception_class is SystemExit
        assert error.traceback.endswith("SystemExit: it is enough\n")
        assert finished(tasks.add.enqueue(1, 2)).return_value == 3


@pytest.mark.slow
def test_a_task_runs_after_its_time_and_in_its_queue(tasks: Any) -> None:
    later = tasks.add.using(run_after=datetime.now(UTC) + timedelta(hours=1)).enqueue(1, 2)
    other = tasks.add.using(queue_name="two words", priority=7).enqueue(3, 4)
    with worker(["two words"]):
        assert finished(other).return_value == 7
        assert tasks.add.get_result(later.id).status == "READY"
        for result in (later, other):
            assert tasks.add.get_result(result.id).task == result.task


@pytest.mark.slow
def test_signals_are_sent_when_a_task_is_enqueued_started_and_finished(tasks: Any) -> None:
    signals = of_django("signals")
    seen: list[str] = []
    done = threading.Event()

    def enqueued(task_result: Any, **_: Any) -> None:
        seen.append("enqueued")

    def started(task_result: Any, **_: Any) -> None:
        seen.append(f"started {task_result.status}")

    def ended(task_result: Any, **_: Any) -> None:
        seen.append(f"finished {task_result.status}")
        done.set()

    signals.task_enqueued.connect(enqueued)
    signals.task_started.connect(started)
    signals.task_finished.connect(ended)
    try:
        with worker():
            tasks.add.enqueue(1, 2)
            assert done.wait(20)
    finally:
        for signal in (signals.task_enqueued, signals.task_started, signals.task_finished):
            for receiver in (enqueued, started, ended):
                signal.disconnect(receiver)
    assert sorted(seen) == ["enqueued", "finished SUCCESSFUL", "started RUNNING"]  # by two threads


@pytest.mark.slow
def test_a_result_that_is_unknown_is_an_error_of_django(tasks: Any) -> None:
    exceptions = of_django("exceptions")
    with pytest.raises(exceptions.TaskResultDoesNotExist):
        tasks.add.get_result("unknown")
    result = tasks.add.enqueue(1, 2)
    with pytest.raises(exceptions.TaskResultMismatch):
        tasks.fail.get_result(result.id)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "give the URL of a file or a database"),
        ({"url": "memory://"}, "give the URL of a file or a database"),
        ({"url": "sqlite:///x.db", "retries": 3}, "the options are url, keep, concurrency"),
        ({"url": "sqlite:///x.db", "keep": "a while"}, "keep"),
    ],
)
def test_mistakes_in_the_settings_are_told(options: dict[str, Any], problem: str, tasks: Any) -> None:
    from telex.ext.django.tasks import TelexBackend

    with pytest.raises(telex.TelexError, match=problem):
        TelexBackend("default", {"OPTIONS": options})


@pytest.mark.parametrize(
    ("settings", "queues", "problem"),
    [
        ({"QUEUES": ["default", "mails"]}, ["mials"], "the queues in TASKS are default, mails"),
        ({"QUEUES": []}, None, "name those of this worker by --queue"),
    ],
)
def test_a_worker_without_a_queue_that_exists_is_refused(
    settings: dict[str, Any], queues: list[str] | None, problem: str, tasks: Any
) -> None:
    from telex.ext.django.tasks import TelexBackend

    backend = TelexBackend("default", settings | {"OPTIONS": {"url": "sqlite:///x.db"}})
    with pytest.raises(telex.BadOption, match=problem):
        backend.worker(queues)
