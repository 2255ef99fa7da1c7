"""Run the programs of the guides that are written for other libraries: `python -m tests.docs.peers celery`.

A program is imported, so its declarations have to be right. Its `main` is called where the library needs no server.
"""

import io
import runpy
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

GUIDES = Path(__file__).parents[2] / "docs" / "examples" / "guides"


def celery(program: dict[str, Any]) -> None:
    """Run tasks at once, in this process. A task that fails for good ends the run."""
    from celery.signals import task_failure

    app = program["app"]
    app.conf.update(broker_url="memory://", result_backend="cache+memory://")
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    failed: list[object] = []

    def fail(exception: BaseException, **rest: object) -> None:
        failed.append(exception)

    task_failure.connect(fail)
    if "main" in program:
        program["main"]()
    assert not failed, failed


RUN: dict[str, Callable[[dict[str, Any]], None]] = {"celery": celery}


def main() -> None:
    for guide in sys.argv[1:]:
        for file in sorted((GUIDES / guide).glob("*_before.py")):
            with redirect_stdout(io.StringIO()):
                RUN[guide](runpy.run_path(str(file), run_name="before"))
            print(f"{guide}:{file.name.removesuffix('_before.py')}")


if __name__ == "__main__":
    main()
