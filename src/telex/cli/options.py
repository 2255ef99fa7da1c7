"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from telex.cli.client import DEFAULT_SERVER

Server = Annotated[
    str, typer.Option("--server", "-s", envvar="TELEX_SERVER", metavar="URL", help="The server's address.")
]
ConnectTimeout = Annotated[
    float, typer.Option(min=0.001, metavar="SECONDS", help="How long connecting may take, all of it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

__all__ = ["DEFAULT_SERVER", "ConnectTimeout", "Json", "Server"]
