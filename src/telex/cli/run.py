"""``telex run``."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.exits import Exit, tell

if TYPE_CHECKING:
    from telex import Hub


class LogLevel(StrEnum):
    """The levels of ``--log-level``."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def run(
    program: Annotated[str, typer.Argument(metavar="MODULE:HUB", help="A module, and the hub in it: shop:hub")],
    reload: Annotated[
        bool, typer.Option("--reload", help="Start again whenever a file of this folder changes.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", "-w", min=1, metavar="N", help="Processes to run; more than 1 is refused with memory://."
        ),
    ] = 1,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            "--log-level",
            case_sensitive=False,
            help="Log records from this level on. [default: info]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the handlers, commands and triggers of a program until Ctrl-C or SIGTERM.

    It then finishes what it works on, within the close_timeout of its hub; a second Ctrl-C stops at once. The module is
    imported from the current folder. With --reload, a process that crashes is started again. With --workers several
    processes share the work of groups; a hub on memory://, which is one process's own, runs in one. Log records go to
    standard error, unless the program configures logging itself.

    \b
    Examples:
      telex run shop:hub
      telex run shop.app:hub --reload
      telex run shop:hub --workers 4 --log-level warning
    """
    from telex.cli.program import Unusable, configure_logging, load, run_hub
    from telex.cli.supervisor import WORKER, supervise

    level = None if log_level is None else log_level.upper()
    worker = os.environ.pop(WORKER, None)
    try:
        if worker is None and (reload or workers > 1):
            if workers > 1:
                _check_shared(load(program))
            options = () if log_level is None else ("--log-level", log_level)
            raise typer.Exit(supervise(program, workers, reload=reload, options=options))
        hub = load(program)
        configure_logging(level)
        number = 1 if worker is None else _report(worker, hub)
        announce = program if number == 1 else None
        raise typer.Exit(run_hub(hub, announce=announce, is_worker=worker is not None))
    except Unusable as error:
        tell(str(error))
        raise typer.Exit(Exit.USAGE) from None


def _check_shared(hub: Hub) -> None:
    if hub.url.startswith("memory:"):
        tell(
            "memory:// is one process's own: give the hub sqlite:///file.db, which processes share, "
            "or run it without --workers"
        )
        raise typer.Exit(Exit.USAGE)


def _report(worker: str, hub: Hub) -> int:
    """Say to the supervisor how long the hub may take to close; the number of this worker."""
    number, descriptor = map(int, worker.split())
    os.write(descriptor, f"{hub.close_timeout}".encode())
    os.close(descriptor)
    return number
