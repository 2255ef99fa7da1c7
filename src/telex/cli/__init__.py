"""The program ``telex``. One file a command; what a command needs is imported when it runs.

``app`` lists the commands, ``exits`` the exit codes, ``client`` talks to a gateway, ``http`` sends it commands,
``bar`` shows how far one is, ``supervisor`` keeps the processes of ``telex run``.
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
"""The packages that are not telex's own requirements, and the extra that brings each."""


def main() -> None:
    """Run the program with the arguments of the process, and exit with its code."""
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
