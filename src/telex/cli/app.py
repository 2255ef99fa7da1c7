"""The commands of ``telex``, and how any of them ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

import telex
from telex.cli import chat, copy, follow, pub, send, stored, sub, topics
from telex.cli import run as run_
from telex.cli.exits import EXIT_CODES, Exit, code_for, tell
from telex.cli.groups import groups
from telex.cli.once import once
from telex.cli.triggers import triggers

app: typer.Typer = typer.Typer(
    name="telex",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"telex {telex.__version__}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Topics, chat rooms, handlers, commands and groups, in the memory of one process or in an SQLite file.

    \b
    Examples:
      telex chat                                a chat room on http://127.0.0.1:8000
      telex run shop:hub --reload               run the handlers of hub in shop.py
      telex pub chatroom:lobby hello            say something in a room
      telex sub 'chatroom:*' --since 20         follow all rooms, from 20 messages back
      telex topics --json                       which topics there are
      telex send report:build 7 --url sqlite:///shop.db
                                                have a command carried out, and print its result
      telex groups --url sqlite:///shop.db      which groups there are, and the lag of each
    """


app.command(epilog=EXIT_CODES, short_help="Serve a chat room.")(chat.chat)
app.command(epilog=EXIT_CODES, short_help="Run the handlers of a program.")(run_.run)
app.command(epilog=EXIT_CODES, short_help="Publish to a topic.")(pub.pub)
app.command(epilog=EXIT_CODES, short_help="Print the messages of a topic or a pattern as they come.")(sub.sub)
app.command(epilog=EXIT_CODES, short_help="List the topics of a running server, or of a file.")(topics.topics)
app.command(epilog=EXIT_CODES, short_help="Send a command, and print its result.")(send.send)
app.command(epilog=EXIT_CODES, short_help="Print what becomes of commands.")(follow.follow)
app.add_typer(once, name="once", epilog=EXIT_CODES, short_help="Look after commands that run once: show, forget.")
app.command(epilog=EXIT_CODES, short_help="Print what a topic keeps.")(stored.history)
app.add_typer(groups, name="groups", epilog=EXIT_CODES, short_help="List consumer groups; pause, resume, forget them.")
app.add_typer(triggers, name="triggers", epilog=EXIT_CODES, short_help="List triggers; pause, resume, fire them.")
app.add_typer(stored.dead, name="dead", short_help="Look after dead letters: list, show, retry, drop.")
app.command(epilog=EXIT_CODES, short_help="Write what topics keep as JSON lines.")(stored.export)
app.command("import", epilog=EXIT_CODES, short_help="Publish what export wrote.")(stored.import_)
app.command(epilog=EXIT_CODES, short_help="Copy all messages to another engine, live.")(copy.copy)
app.command(epilog=EXIT_CODES, short_help="Report what is wrong with a file.")(stored.check)
app.command(epilog=EXIT_CODES, short_help="Give back the space of what was deleted.")(stored.compact)


def run(arguments: Sequence[str]) -> int:
    """Run the program; its exit code."""
    try:
        app(list(arguments), prog_name="telex")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.ERROR if end.code else Exit.OK
    except telex.TelexError as error:
        tell(str(error))
        return code_for(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.OK
