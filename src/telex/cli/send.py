"""``telex send``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from telex import BadOption, Failure, KeyConflict, NoHandler, TelexError, Timeout
from telex.cli.bar import Bar
from telex.cli.exits import Exit, tell
from telex.cli.files import URL_HELP, show, with_hub
from telex.cli.options import ConnectTimeout, Json, duration
from telex.commands.outcome import CANCELLED, CONFLICT, EXPIRED, REFUSED, UNSENDABLE
from telex.message import check_key
from telex.once.machine import EXHAUSTED

if TYPE_CHECKING:
    from telex import Hub, Ticket

NOT_CARRIED_OUT = {REFUSED: Exit.ERROR, "store_unavailable": Exit.ERROR, EXPIRED: Exit.TIMEOUT}
"""How outcomes end the program that are no failure of the command itself."""
SELF_SAID = {REFUSED, EXPIRED, CANCELLED, UNSENDABLE, EXHAUSTED, "store_unavailable", "result_gone", "outcome_lost"}
"""Failures that say all in their message: the class of what was raised is of no use to who reads it."""
EXAMPLE_KEY = "order-7"


class Unserved(TelexError):
    """Nobody carries out the command ``name``: `telex.NoHandler`, for who reads it at a terminal."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"nobody serves the command {self.name!r}: check its name, start the program that carries it out, or have "
            "it kept until then with --no-wait"
        )


def key_needed(name: str) -> BadOption:
    """What is told when a command that runs once is sent without a key."""
    return BadOption("--key", None, f"{name!r} runs once for each key: say which one this is, --key {EXAMPLE_KEY}")


class SentCommand(msgspec.Struct, omit_defaults=True):
    """What became of a command, as far as it is known."""

    command: str
    id: str | None = None
    key: str | None = None
    result: object = msgspec.UNSET
    error: Failure | None = None
    replayed: bool = False

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.error is not None or self.result is not msgspec.UNSET


def send(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The command's name, such as report:build.")],
    content: Annotated[
        str, typer.Argument(metavar="[JSON]", help="What it is given, in JSON; - reads standard input.")
    ] = "null",
    key: Annotated[
        str | None, typer.Option("--key", "-k", metavar="KEY", help="What makes repeats of it one command.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", "-u", envvar="TELEX_URL", metavar="URL", help=URL_HELP)] = None,
    server: Annotated[
        str | None,
        typer.Option("--server", "-s", metavar="URL", help="In its place, where a server takes commands by HTTP."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="How long to wait: seconds, or text such as 5m. It may go on."
        ),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print its id as soon as it is accepted.")] = False,
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """Send a command, and print its result.

    On a terminal a bar shows how far it is. A command that fails is exit code 5. One that is not begun within --timeout
    is dropped; one that was begun goes on, and if it runs once, sending it again with the same --key gives its outcome.
    With --no-wait nobody need serve it yet.

    \b
    Examples:
      telex send report:build '{"year": 2026, "month": 7}' --url sqlite:///shop.db
      telex send charge '{"order": 7}' --key order-7 --timeout 30s --url sqlite:///shop.db
      telex send charge '{"order": 7}' --key order-7 --server http://127.0.0.1:8000/commands
      telex send report:build - --json --url sqlite:///shop.db < month.json | jq .result
    """
    given = _content(content)
    try:
        check_key(key)
    except BadOption:
        raise BadOption("--key", key, f"it is 1 to 255 printable characters, such as {EXAMPLE_KEY}") from None
    if server is not None and url is not None and ctx.get_parameter_source("url").name != "ENVIRONMENT":  # type: ignore[union-attr]  # it was given
        raise typer.BadParameter("give one of the two", ctx, param_hint="'--url' / '--server'")
    with Bar(name) as bar:
        if server is not None:
            from telex.cli.http import carry_out

            sent = carry_out(server, name, given, key, timeout, connect_timeout, bar, wait=not no_wait)
        elif url is not None:
            sent = with_hub(url, lambda hub: _through(hub, name, given, key, timeout, bar, wait=not no_wait))
        else:
            hint = "say where, --url sqlite:///file.db or --server http://127.0.0.1:8000/commands"
            raise typer.BadParameter(hint, ctx, param_hint="'--url' / '--server'")
    _print(sent, json)


def _content(text: str) -> Any:
    from telex.codec.content import from_json

    try:
        return from_json(sys.stdin.buffer.read() if text == "-" else text.encode())
    except ValueError as error:
        mend = f"""it is no JSON ({error}); write text as '"text"'"""
        raise BadOption("content", text, mend) from None


async def _through(
    hub: Hub, name: str, content: object, key: str | None, timeout: float | None, bar: Bar, *, wait: bool
) -> SentCommand:
    from telex.hub import dispatcher_of

    try:
        ticket = await dispatcher_of(hub).send(name, content, key, timeout, "wait", None, wanted=wait)
    except BadOption as error:
        if error.option == "key" and key is None:
            raise key_needed(name) from None
        raise
    except NoHandler:
        raise Unserved(name) from None
    sent = SentCommand(name, ticket.id, key)
    if wait:
        try:
            async with asyncio.timeout(timeout):
                await _ended(ticket, bar)
        except TimeoutError:
            raise Timeout(f"the command {name!r}", timeout or 0.0) from None
        outcome = await ticket.outcome()
        sent.error, sent.replayed = outcome.error, outcome.replayed
        if outcome.error is None:
            sent.result = outcome.result
    return sent


async def _ended(ticket: Ticket[Any], bar: Bar) -> None:
    async for step in ticket.progress():
        bar.tell(step.fraction, step.text)


def _print(sent: SentCommand, json: bool) -> None:
    error = sent.error
    if error is not None and error.code == CONFLICT:
        raise KeyConflict(sent.command, sent.key or "")
    if json:
        typer.echo(msgspec.json.encode(sent).decode())
    elif not sent.ended:
        show(sent.id or "")
    elif error is None:
        show(sent.result if isinstance(sent.result, str) else msgspec.json.encode(sent.result).decode())
    if error is not None:
        said = error.message if error.code in SELF_SAID else f"{error.type}: {error.message}"
        tell(said if error.code == REFUSED else f"the command {sent.command!r} failed: {said}")
        raise typer.Exit(NOT_CARRIED_OUT.get(error.code, Exit.FAILED))
