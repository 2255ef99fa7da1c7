"""Find the hub that ``telex run`` is given, and run it."""

from __future__ import annotations

import asyncio
import importlib
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import typer

from telex import BadOption, Hub, TelexError
from telex.cli.exits import Exit, code_for, tell


class Unusable(TelexError):
    """The user's fault: what was named is not a module with a hub."""


def load(program: str) -> Hub:
    """The hub that ``module:name`` names, the current folder first on the path. Raises `Unusable`."""
    module_name, colon, name = program.partition(":")
    if not colon or not module_name or not name:
        raise Unusable(f"{program!r} is no program: write module:hub, such as shop:hub for `hub` in shop.py")
    if module_name.endswith(".py") or "/" in module_name:
        guess = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise Unusable(f"{module_name!r} is a file; write the module's name: {guess}:{name}")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise Unusable(f"{module_name} could not be imported: there is no module {error.name!r}") from error
        raise Unusable(f"there is no module {module_name!r} in {folder} or among what is installed") from None
    except Exception as error:  # noqa: BLE001  # a program may fail in any way while it is imported: it is shown
        raise Unusable(f"{module_name} failed while it was imported\n{_trace(error)}") from None
    hub = getattr(module, name, None)
    if not isinstance(hub, Hub):
        hubs = [key for key, value in vars(module).items() if isinstance(value, Hub)]
        have = f"it has {', '.join(hubs)}" if hubs else f"make one there: {name} = telex.Hub()"
        raise Unusable(f"{name!r} in {module_name} is no hub; {have}")
    return hub


def run_hub(hub: Hub, *, announce: bool) -> int:
    """Open the hub, wait for SIGINT or SIGTERM, and close it; the exit code."""
    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            runner.run(_run(hub, announce))
    except BadOption as error:
        tell(str(error))
        return Exit.USAGE
    except TelexError as error:
        tell(str(error))
        return code_for(error)
    return Exit.OK


async def _run(hub: Hub, announce: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where the loop knows no signals (Windows), the interpreter's own KeyboardInterrupt ends it.
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, over.set)
    async with hub:
        if announce:
            handlers = len(hub.statistics().handlers)
            typer.echo(f"running with {handlers} handler{'' if handlers == 1 else 's'}  (Ctrl-C stops it)")
        await over.wait()


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _trace(error: BaseException) -> str:
    # The lines of the program, without those of telex and of the import that led there.
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    return "".join([*traceback.format_list(own), *traceback.format_exception_only(error)]).rstrip()
