"""The exit codes of the program."""

from __future__ import annotations

from enum import IntEnum

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
    """The time was over before the result came."""
    FAILED = 5
    """The command that was sent has failed."""
    INTERRUPTED = 130
    """Ctrl-C."""


EXIT_CODES = (
    """Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 cannot connect, 4 timed out, 5 the command that was """
    """sent failed, 130 interrupted."""
)


def code_for(error: TelexError) -> Exit:
    """Return the exit code for an error that ends the program."""
    if isinstance(error, ConnectFailed):
        return Exit.NO_CONNECTION
    if isinstance(error, Timeout):
        return Exit.TIMEOUT
    return Exit.USAGE if isinstance(error, (BadName, BadOption, Misuse)) else Exit.ERROR
