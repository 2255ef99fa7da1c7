"""How a command ends: exit codes, and one clear line for what went wrong."""

from __future__ import annotations

from enum import IntEnum

import typer

from telex import BadName, BadOption, ConnectFailed, Misuse, TelexError, Timeout


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    ERROR = 1
    """The server, or the program that was run, refused or failed."""
    USAGE = 2
    """The command line is wrong."""
    NO_CONNECTION = 3
    """The server cannot be reached, or does not answer."""
    TIMEOUT = 4
    """What was waited for did not come in time."""
    FAILED = 5
    """The command that was sent was carried out, and failed."""
    INTERRUPTED = 130
    """Ctrl-C."""


EXIT_CODES = (
    """Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 cannot connect, 4 timed out, 5 the command that was """
    """sent failed, 130 interrupted."""
)


def tell(text: str, *, bad: bool = True) -> None:
    """One line on standard error; coloured when that is a terminal."""
    typer.secho(f"telex: {text}", err=True, fg=typer.colors.RED if bad else typer.colors.YELLOW)


def code_for(error: TelexError) -> Exit:
    """The exit code that an exception ends the program with."""
    if isinstance(error, ConnectFailed):
        return Exit.NO_CONNECTION
    if isinstance(error, Timeout):
        return Exit.TIMEOUT
    return Exit.USAGE if isinstance(error, (BadName, BadOption, Misuse)) else Exit.ERROR
