"""Load the hub of ``telex run``, and run it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from telex import BadOption, Hub, TelexError
from telex.cli.exits import Exit, code_for
from telex.cli.output import counted, print_line, report
from telex.cli.stopping import Stopping
from telex.commands.transports.worker import GROUP
from telex.hub import runtime_of
from telex.observe import JsonFormatter
from telex.schedules.schedules import runner_of

if TYPE_CHECKING:
    from telex.observe import MonitorServer


class Unusable(TelexError):
    """The user's fault: the argument does not name a hub in a module that can be imported."""


def load(program: str) -> Hub:
    """Import the hub ``module:name``, with the current folder first on the path. Raises `Unusable`."""
    module_name, colon, name = program.partition(":")
    if not colon or not module_name or not name:
        raise Unusable(f"{program!r} is not a program: write module:hub, such as shop:hub for `hub` in shop.py")
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
    except Exception as error:  # noqa: BLE001  # importing a program can raise anything, which is shown
        raise Unusable(f"{module_name} failed while it was imported\n{_trace(error)}") from None
    hub = getattr(module, name, None)
    if not isinstance(hub, Hub):
        hubs = [key for key, value in vars(module).items() if isinstance(value, Hub)]
        have = f"it has {', '.join(hubs)}" if hubs else f"make one there: {name} = telex.Hub()"
        raise Unusable(f"{name!r} in {module_name} is not a hub; {have}")
    return hub


def monitor_for(hub: Hub, address: str, number: int) -> MonitorServer:
    """Return the server of ``--metrics`` for worker ``number``, with the hub's own `Prometheus` or a new one.

    Raises `Unusable`.
    """
    try:
        from telex.observe import Monitor, MonitorServer, Prometheus
        from telex.observe.server import parse_address

        host, port = parse_address(address)
        instruments = runtime_of(hub).instruments
        metrics = next((each for each in instruments if isinstance(each, Prometheus)), None)
        if metrics is None:
            metrics = Prometheus()
            runtime_of(hub).observe([metrics])
    except (BadOption, ModuleNotFoundError) as error:
        raise Unusable(str(error)) from None
    return MonitorServer(Monitor(hub, metrics), host, port + number - 1 if port else 0)


def run_hub(hub: Hub, *, announce: str | None, is_worker: bool = False, monitor: MonitorServer | None = None) -> int:
    """Open the hub, wait for SIGINT or SIGTERM, close it, and return the exit code. ``announce`` is the name of the
    program, to print the declarations of its hub; None prints nothing.
    """
    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            return runner.run(_run(hub, announce, is_worker, monitor))
    except OSError as error:
        if monitor is None:
            raise
        report(f"--metrics: {error.strerror or error}; choose another port, such as --metrics :9200")
        return Exit.USAGE
    except TelexError as error:
        report(str(error))
        return code_for(error)


async def _run(hub: Hub, announce: str | None, is_worker: bool, monitor: MonitorServer | None) -> int:
    stopping = Stopping(is_worker=is_worker)
    with stopping.handling():
        try:
            runner_of(hub.schedules).want_if_able()
            # The monitor is first and last: it answers while the hub opens and closes.
            async with monitor or nullcontext(), hub:
                if announce is not None:
                    list_declared(announce, hub)
                if monitor is not None:
                    print_line(f"  metrics: {monitor.url}/metrics")
                await stopping.asked.wait()
        except asyncio.CancelledError:
            if not stopping.at_once:
                raise
            return Exit.INTERRUPTED
    return Exit.OK


def list_declared(program: str, hub: Hub) -> None:
    """Print the handlers, commands and triggers of a hub."""
    triggers = hub.triggers()
    fired = {trigger.topic for trigger in triggers}
    handlers = [
        handler
        for handler in hub.statistics().handlers
        if handler.pattern not in fired and handler.group != GROUP  # the handlers of this group are commands
    ]
    kinds = {"handler": len(handlers), "command": len(hub.declared_commands), "trigger": len(triggers)}
    counts = ", ".join(counted(number, kind) for kind, number in kinds.items())
    print_line(f"running {program} on {runtime_of(hub).address} with {counts}  (Ctrl-C stops it)")
    for handler in handlers:
        group = "" if handler.group is None else f", group {handler.group}"
        print_line(f"  handler {handler.name}: {handler.pattern}{group}")
    for command in hub.declared_commands:
        print_line(f"  command {command.name}{'' if command.once is None else ', once per key'}")
    for trigger in triggers:
        print_line(f"  trigger {trigger.trigger}: {trigger.schedule}")
    if not (handlers or hub.declared_commands or triggers):
        report("this hub has no handlers, commands and triggers: import the modules that declare them", bad=False)


def configure_logging(level: str | None, *, as_json: bool = False) -> None:
    """Write log records of at least ``level`` (INFO) to standard error. A program that has configured logging keeps its
    handlers; a given level then sets the level of the root logger, and ``as_json`` the format of its handlers.
    """
    if not logging.getLogger("telex").hasHandlers():
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=level or "INFO")
    elif level is not None:
        logging.getLogger().setLevel(level)
    if as_json:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _trace(error: BaseException) -> str:
    # Only the lines of the program are shown, without those of telex and importlib.
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    return "".join([*traceback.format_list(own), *traceback.format_exception_only(error)]).rstrip()
