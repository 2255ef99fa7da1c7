"""Runs tests in forks of a process that has imported pytest and what telex needs, but not telex: ``python runner.py``.

For each line of standard input, the path of a file with arguments for pytest, the path for its output, and seconds, it
answers with a line: the exit code, or ``hung``. It saves most of the time that a run of a few fast tests takes.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

IMPORTED = (
    *("asyncio", "blockbuster", "cronsim", "httpx", "hypothesis", "hypothesis.stateful", "msgspec", "psycopg"),
    *("psycopg_pool", "pydantic", "pytest", "rich", "rich.progress", "starlette.applications", "starlette.websockets"),
    *("typer", "typer.testing", "uuid_utils", "uvicorn", "uvloop", "websockets.sync.client", "websockets.sync.server"),
    *("_pytest.assertion.rewrite", "_pytest.debugging", "_pytest.logging", "_pytest.pytester"),
)
LOOK_SECONDS = 0.01


def run(arguments: str, output: str) -> None:
    """In a fork: run pytest, and end with its exit code."""
    import pytest

    os.setsid()
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 99
    try:
        code = int(pytest.main([*Path(arguments).read_text().splitlines()]))
    except BaseException:  # noqa: BLE001  # whatever it is, it is told
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait(child: int, seconds: float) -> str:
    """The exit code of a fork; it and all of its session are killed once it has ended, or after ``seconds``."""
    end, said = time.monotonic() + seconds, "hung"
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            said = str(os.waitstatus_to_exitcode(status))
            break
        time.sleep(LOOK_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if said == "hung":
        os.waitpid(child, 0)
    return said


def main() -> None:
    for name in IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)
    assert "telex" not in sys.modules, "each fork has to import its own"
    for line in sys.stdin:
        arguments, output, seconds = line.split()
        child = os.fork()
        if not child:
            run(arguments, output)
        print(wait(child, float(seconds)), flush=True)


if __name__ == "__main__":
    main()
