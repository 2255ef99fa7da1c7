"""``telex run``."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.exits import Exit
from telex.cli.output import report

if TYPE_CHECKING:
    from telex import Hub


class LogLevel(StrEnum):
    """The levels of ``--log-level``."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        case_sensitive=False,
        help="The lowest level of log records. [default: info]",
        show_default=False,
    ),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="[HOST]:PORT",
        help="Serve /metrics and health here; by default to this machine. Each worker has the next port.",
    ),
]


def run(
    program: Annotated[str, typer.Argument(metavar="MODULE:HUB", help="A module and the hub in it, such as shop:hub")],
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart when a Python file below this folder changes.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option("--workers", "-w", min=1, metavar="N", help="The number of processes; memory:// allows only 1."),
    ] = 1,
    log_level: LogLevelOption = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Write each log record as one JSON object.")] = False,
    metrics: MetricsOption = None,
) -> None:
    """Run the handlers, commands and triggers of a program until Ctrl-C or SIGTERM.

    The module is imported from the current folder. At the first Ctrl-C handlers finish, within the close_timeout of the
    hub; a second Ctrl-C stops them. With --workers, several processes share the messages of groups. With --workers or
    --reload, a process that crashes is restarted. Log records go to standard error, unless the program configures
    logging itself.

    \b
    Examples:
      telex run shop:hub
      telex run shop.app:hub --reload
      telex run shop:hub --workers 4 --log-level warning
      telex run shop:hub --metrics :9100 --log-json
    """
    from telex.cli.program import Unusable, configure_logging, load, monitor_for, run_hub
    from telex.cli.supervisor import WORKER, supervise

    level = None if log_level is None else log_level.upper()
    worker = os.environ.pop(WORKER, None)
    try:
        if worker is None and (reload or workers > 1):
            if workers > 1:
                _check_shared(load(program))
            options = _options(log_level, log_json, metrics)
            raise typer.Exit(supervise(program, workers, reload=reload, options=options))
        hub = load(program)
        configure_logging(level, as_json=log_json)
        number = 1 if worker is None else _report(worker, hub)
        announce = program if number == 1 else None
        monitor = None if metrics is None else monitor_for(hub, metrics, number)
        raise typer.Exit(run_hub(hub, announce=announce, is_worker=worker is not None, monitor=monitor))
    except Unusable as error:
        report(str(error))
        raise typer.Exit(Exit.USAGE) from None


def _options(log_level: LogLevel | None, log_json: bool, metrics: str | None) -> tuple[str, ...]:
    """Return the options of this run for a worker."""
    options = () if log_level is None else ("--log-level", str(log_level))
    return (*options, *(("--log-json",) if log_json else ()), *(("--metrics", metrics) if metrics else ()))


def _check_shared(hub: Hub) -> None:
    if hub.url.startswith("memory:"):
        report("processes cannot share a hub on memory://: give the hub sqlite:///file.db, or run it without --workers")
        raise typer.Exit(Exit.USAGE)


def _report(worker: str, hub: Hub) -> int:
    """Report the ``close_timeout`` of the hub to the supervisor, and return the number of this worker."""
    number, descriptor = map(int, worker.split())
    os.write(descriptor, f"{hub.close_timeout}".encode())
    os.close(descriptor)
    return number
