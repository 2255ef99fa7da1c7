"""A pytest plugin: coverage is recorded by test, in child processes too, and the duration of each test is written down.

`cover.py` runs it, under `coverage run`: ``pytest -p tests.mutants.contexts``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest

CONTEXT = "TELEX_COVERED_BY"
"""The variable of the environment with the test that runs; child processes record under its value."""
DURATIONS = "TELEX_DURATIONS"
"""The variable with the path that the durations are written to."""

seconds = pytest.StashKey[dict[str, float]]()
failed = pytest.StashKey[list[str]]()


class Marked(subprocess.Popen[Any]):
    """A child process that is told which test it belongs to, also when the test gives it an environment of its own."""

    def __init__(self, args: Any, *positional: Any, env: Any = None, **options: Any) -> None:
        if env is not None:
            env = {**env, CONTEXT: os.environ.get(CONTEXT, "")}
        super().__init__(args, *positional, env=env, **options)  # type: ignore[call-overload]  # whatever it was


def pytest_configure(config: pytest.Config) -> None:
    subprocess.Popen = Marked  # type: ignore[misc]  # of this process, which only records
    config.stash[seconds] = {}
    config.stash[failed] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    os.environ[CONTEXT] = item.nodeid
    measured = coverage.Coverage.current()
    assert measured is not None
    measured.switch_context(item.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    took = item.config.stash[seconds]
    took[item.nodeid] = round(took.get(item.nodeid, 0.0) + report.duration, 3)
    if report.failed:
        item.config.stash[failed].append(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    stash = session.config.stash
    written = {"seconds": stash[seconds], "failed": stash[failed]}
    Path(os.environ[DURATIONS]).write_text(json.dumps(written))
