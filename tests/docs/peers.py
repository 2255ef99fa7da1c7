"""Run the programs of the guides that are written for other libraries: `python -m tests.docs.peers celery`.

A program is imported, so its declarations have to be right. Its `main` is called where the library needs no server.
"""

import asyncio
import io
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

GUIDES = Path(__file__).parents[2] / "docs" / "examples" / "guides"


def load(file: Path) -> ModuleType:
    """Import a program, under a name by which a library finds its functions."""
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[file.stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def celery(program: ModuleType) -> None:
    """Run tasks at once, in this process. A task that fails for good ends the run."""
    from celery.signals import task_failure

    app = program.app
    app.conf.update(broker_url="memory://", result_backend="cache+memory://")
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    failed: list[object] = []

    def fail(exception: BaseException, **rest: object) -> None:
        failed.append(exception)

    task_failure.connect(fail)
    if hasattr(program, "main"):
        program.main()
    assert not failed, failed


def apscheduler(program: ModuleType) -> None:
    """Start the scheduler, and stop it."""
    if hasattr(program, "main"):
        program.main()
        program.scheduler.shutdown()


def faststream(program: ModuleType) -> None:
    """Publish to the broker of FastStream's tests, which needs no server."""
    from faststream.nats import TestNatsBroker

    async def run() -> None:
        async with TestNatsBroker(program.broker):
            await program.main()

    if hasattr(program, "main"):
        asyncio.run(run())
    elif hasattr(program, "test_an_order_is_answered"):
        asyncio.run(program.test_an_order_is_answered())


def socketio(program: ModuleType) -> None:
    """Check that the program has declared its events. They need a server and a client."""
    assert hasattr(program, "sio") or hasattr(program, "manager")


RUN: dict[str, Callable[[ModuleType], None]] = {
    "apscheduler": apscheduler,
    "celery": celery,
    "faststream": faststream,
    "socketio": socketio,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for guide in sys.argv[1:]:
            for file in sorted((GUIDES / guide).glob("*_before.py")):
                with redirect_stdout(io.StringIO()):
                    RUN[guide](load(file))
                print(f"{guide}:{file.name.removesuffix('_before.py')}")


if __name__ == "__main__":
    main()
