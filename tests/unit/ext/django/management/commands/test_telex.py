"""`manage.py telex` in a project of Django: the worker as a process, and the commands of telex on its engine."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.server import ENVIRONMENT

pytestmark = pytest.mark.slow

SETTINGS = """
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "project.db"}}
    INSTALLED_APPS = ["telex.ext.django"]
    SECRET_KEY = "a secret"
    USE_TZ = True
    OPTIONS = {"url": "sqlite:///tasks.db"}
    TASKS = {"default": {"BACKEND": "telex.ext.django.tasks.TelexBackend", "OPTIONS": OPTIONS}, "other": {
        "BACKEND": "django_tasks.backends.dummy.DummyBackend"}}
"""
MANAGE = """
    import os, sys
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
JOBS = """
    from django_tasks import task

    @task
    def double(number: int) -> int:
        return 2 * number
"""
ENQUEUE = """
    import time
    from jobs import double
    result = double.enqueue(21)
    while not result.is_finished:
        time.sleep(0.05)
        result.refresh()
    print(result.status, result.return_value)
    double.get_backend().close()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"settings": SETTINGS, "manage": MANAGE, "jobs": JOBS, "enqueue": ENQUEUE}.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    return tmp_path


def manage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=project, capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT
    )


def test_a_worker_carries_out_tasks_and_telex_sees_them(project: Path) -> None:
    worker = subprocess.Popen([sys.executable, "manage.py", "telex", "worker"], cwd=project, env=ENVIRONMENT)
    try:
        script = f"exec({(project / 'enqueue.py').read_text()!r})"
        ran = manage(project, "shell", "-c", script)
        assert ran.stdout.splitlines()[-1:] == ["SUCCESSFUL 42"], ran.stderr
        listed = manage(project, "telex", "jobs", "list", "--json")
        assert '"django:default"' in listed.stdout.replace(" ", ""), listed.stderr
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0


def test_mistakes_are_told(project: Path) -> None:
    ran = manage(project, "telex", "--backend", "other", "worker")
    assert ran.returncode == 1
    assert "is not of telex" in ran.stderr
    ran = manage(project, "telex", "worker", "--queue", "mails")
    assert ran.returncode == 1
    assert "give options before the word" in ran.stderr


def test_the_worker_has_help(project: Path) -> None:
    ran = manage(project, "telex", "worker", "--help")
    assert (ran.returncode, "--queue" in ran.stdout) == (0, True), ran.stderr
