"""The commands of ``telex``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

import telex
from telex.cli.exits import EXIT_CODES, Exit, code_for
from telex.cli.output import report


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"telex {telex.__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Publish and read messages, run programs, send commands, serve a chat room, and inspect files and databases.

    \b
    Examples:
      telex chat                                a chat room on http://127.0.0.1:8000
      telex run shop:hub --reload               run the handlers of hub in shop.py
      telex pub chatroom:lobby hello            publish a message to a room
      telex sub 'chatroom:*' --since 20         follow all rooms, from 20 messages back
      telex topics --json                       list the topics
      telex send report:build 7 --url sqlite:///shop.db
                                                send a command, and print its result
      telex groups --url sqlite:///shop.db      list the consumer groups, with their lag
    """


COMMANDS: dict[str, tuple[str, str, str]] = {
    "chat": ("chat", "chat", "Serve a chat room."),
    "dashboard": ("dashboard", "dashboard", "Serve a page with the state of a file or database."),
    "run": ("run", "run", "Run the handlers of a program."),
    "pub": ("pub", "pub", "Publish to a topic."),
    "sub": ("sub", "sub", "Print the messages of a topic or a pattern as they arrive."),
    "topics": ("topics", "topics", "List the topics of a running server, a file or a database."),
    "send": ("send", "send", "Send a command, and print its result."),
    "follow": ("follow", "follow", "Print the outcomes of commands as they arrive."),
    "once": ("once", "once", "Show or forget the records of commands that run once."),
    "jobs": ("jobs", "jobs", "List, show, cancel and retry commands by id."),
    "history": ("history", "history", "Print the messages that a topic keeps."),
    "groups": ("groups", "groups", "List, pause, resume, move and forget groups."),
    "triggers": ("triggers", "triggers", "List, pause, resume and fire triggers."),
    "schedules": ("schedules", "schedules", "List, add, change and delete schedules."),
    "dead": ("dead", "dead", "List, show, retry and drop dead letters."),
    "export": ("transfer", "export", "Write the messages of topics as JSON lines."),
    "import": ("transfer", "import_", "Publish the messages that telex export wrote."),
    "copy": ("copy", "copy", "Copy all messages, old and new, to another engine."),
    "docs": ("docs", "docs", "Print or serve the AsyncAPI document of a program."),
    "check": ("upkeep", "check", "Report all damage of a file."),
    "compact": ("upkeep", "compact", "Shrink a file by the space of deleted messages."),
    "migrate": ("migrate", "migrate", "Create or upgrade the tables in a PostgreSQL database."),
}
"""The commands: the module of each in `telex.cli`, its function or group there, and the line of the help text."""


def program(command: str = "") -> typer.Typer:
    """Return the program with all commands, or with only the named one, which takes a fraction of the time."""
    app = typer.Typer(
        name="telex",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(epilog=EXIT_CODES)(options)
    for name in (command,) if command in COMMANDS else COMMANDS:
        module, attribute, short_help = COMMANDS[name]
        made = getattr(import_module(f"telex.cli.{module}"), attribute)
        if isinstance(made, typer.Typer):
            app.add_typer(made, name=name, epilog=EXIT_CODES, short_help=short_help)
        else:
            app.command(name, epilog=EXIT_CODES, short_help=short_help)(made)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run the program with these arguments, and return its exit code."""
    try:
        program(*arguments[:1])(list(arguments), prog_name="telex")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.ERROR if end.code else Exit.OK
    except telex.TelexError as error:
        report(str(error))
        return code_for(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.OK
