"""The commands of ``telex``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

import telex
from telex.cli import chat, copy, dashboard, docs, follow, history, migrate, pub, send, sub, topics, transfer, upkeep
from telex.cli import run as run_
from telex.cli.dead import dead
from telex.cli.exits import EXIT_CODES, Exit, code_for
from telex.cli.groups import groups
from telex.cli.jobs import jobs
from telex.cli.once import once
from telex.cli.output import report
from telex.cli.schedules import schedules
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


app.command(epilog=EXIT_CODES, short_help="Serve a chat room.")(chat.chat)
app.command(epilog=EXIT_CODES, short_help="Serve a page with the state of a file or database.")(dashboard.dashboard)
app.command(epilog=EXIT_CODES, short_help="Run the handlers of a program.")(run_.run)
app.command(epilog=EXIT_CODES, short_help="Publish to a topic.")(pub.pub)
app.command(epilog=EXIT_CODES, short_help="Print the messages of a topic or a pattern as they arrive.")(sub.sub)
app.command(epilog=EXIT_CODES, short_help="List the topics of a running server, a file or a database.")(topics.topics)
app.command(epilog=EXIT_CODES, short_help="Send a command, and print its result.")(send.send)
app.command(epilog=EXIT_CODES, short_help="Print the outcomes of commands as they arrive.")(follow.follow)
app.add_typer(once, name="once", epilog=EXIT_CODES, short_help="Show or forget the records of commands that run once.")
app.add_typer(jobs, name="jobs", epilog=EXIT_CODES, short_help="List, show, cancel and retry commands by id.")
app.command(epilog=EXIT_CODES, short_help="Print the messages that a topic keeps.")(history.history)
app.add_typer(groups, name="groups", epilog=EXIT_CODES, short_help="List, pause, resume, move and forget groups.")
app.add_typer(triggers, name="triggers", epilog=EXIT_CODES, short_help="List, pause, resume and fire triggers.")
app.add_typer(schedules, name="schedules", epilog=EXIT_CODES, short_help="List, add, change and delete schedules.")
app.add_typer(dead, name="dead", epilog=EXIT_CODES, short_help="List, show, retry and drop dead letters.")
app.command(epilog=EXIT_CODES, short_help="Write the messages of topics as JSON lines.")(transfer.export)
app.command("import", epilog=EXIT_CODES, short_help="Publish the messages that telex export wrote.")(transfer.import_)
app.command(epilog=EXIT_CODES, short_help="Copy all messages, old and new, to another engine.")(copy.copy)
app.command(epilog=EXIT_CODES, short_help="Print or serve the AsyncAPI document of a program.")(docs.docs)
app.command(epilog=EXIT_CODES, short_help="Report all damage of a file.")(upkeep.check)
app.command(epilog=EXIT_CODES, short_help="Shrink a file by the space of deleted messages.")(upkeep.compact)
app.command(epilog=EXIT_CODES, short_help="Create or upgrade the tables in a PostgreSQL database.")(migrate.migrate)


def run(arguments: Sequence[str]) -> int:
    """Run the program with these arguments, and return its exit code."""
    try:
        app(list(arguments), prog_name="telex")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.ERROR if end.code else Exit.OK
    except telex.TelexError as error:
        report(str(error))
        return code_for(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.OK
