"""The program ``telex``. Each command has a file, and imports its requirements when it runs.

``app`` lists the commands, ``options`` and ``output`` are common to them, ``exits`` has the exit codes. ``client`` is a
WebSocket client of a gateway, ``http`` sends commands by HTTP, ``bar`` is the progress bar, ``program``, ``stopping``
and ``supervisor`` belong to ``telex run``.
"""

from __future__ import annotations

import sys

NEEDED = {
    "rich": "cli",
    "typer": "cli",
    "websockets": "cli",
    "starlette": "chat",
    "uvicorn": "chat",
    "watchfiles": "chat",
}
"""The optional packages, and the extra that installs each."""


def main() -> None:
    """Run the program with the arguments of the process, and exit."""
    try:
        from telex.cli.app import run

        code = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in NEEDED:
            raise
        print(
            f"telex: this needs {package}, which is not installed: pip install 'telex[{NEEDED[package]}]'",
            file=sys.stderr,
        )
        code = 1
    sys.exit(code)
