"""``telex run``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from telex.cli.exits import Exit, tell


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
) -> None:
    """Run the handlers of a program until Ctrl-C or SIGTERM; what they are at is then finished.

    The module is imported from the current folder. With --reload, a process that crashes is started again. With
    --workers several processes share the work of groups; a hub on memory://, which is one process's own, runs in one.

    \b
    Examples:
      telex run shop:hub
      telex run shop.app:hub --reload
    """
    from telex.cli.program import Unusable, load, run_hub
    from telex.cli.supervisor import supervise

    try:
        if os.environ.pop("TELEX_WORKER", None) is not None:
            raise typer.Exit(run_hub(load(program), announce=False))
        if not reload and workers == 1:
            raise typer.Exit(run_hub(load(program), announce=True))
        if workers > 1:
            hub = load(program)
            if hub.url.startswith("memory:"):
                tell(
                    "memory:// is one process's own: give the hub sqlite:///file.db, which processes share, "
                    "or run it without --workers"
                )
                raise typer.Exit(Exit.USAGE)
        raise typer.Exit(supervise(program, workers, reload=reload))
    except Unusable as error:
        tell(str(error))
        raise typer.Exit(Exit.USAGE) from None
