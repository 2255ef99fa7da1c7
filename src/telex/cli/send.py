"""``telex send``."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from telex import BadOption, KeyConflict, NoHandler, TelexError, Timeout
from telex.cli.bar import Bar
from telex.cli.exits import Exit
from telex.cli.files import with_hub
from telex.cli.options import ConnectTimeout, Json, OptionalUrl, chosen_url, duration, is_given
from telex.cli.output import print_json, print_line, report, to_json
from telex.cli.sent_command import EXAMPLE_KEY, SentCommand, key_needed
from telex.commands.outcome import CANCELLED, CONFLICT, EXPIRED, REFUSED, UNSENDABLE
from telex.message import check_key
from telex.once.machine import EXHAUSTED

if TYPE_CHECKING:
    from telex import Hub
    from telex.commands.plan import Priority, SendPlan

NOT_CARRIED_OUT = {REFUSED: Exit.ERROR, "store_unavailable": Exit.ERROR, EXPIRED: Exit.TIMEOUT}
"""The exit codes for outcomes without a run of the command."""
COMPLETE_MESSAGES = {
    REFUSED,
    EXPIRED,
    CANCELLED,
    UNSENDABLE,
    EXHAUSTED,
    "store_unavailable",
    "result_gone",
    "outcome_lost",
}
"""The failure codes that are shown without the class of the exception, because telex wrote the message."""

ResultTimeout = Annotated[
    float | None,
    typer.Option(
        parser=duration,
        metavar="DURATION",
        help="The time limit for the result: seconds, or text such as 5m.",
    ),
]

NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="Print the id of the command when it is accepted, and do not wait for the result."),
]
Delay = Annotated[
    float | None,
    typer.Option(parser=duration, metavar="DURATION", help="Begin after this time: seconds, or text such as 10m."),
]
At = Annotated[str | None, typer.Option(metavar="TIME", help="Begin at this time, such as 2027-05-01T09:00+02:00.")]
Expires = Annotated[
    float | None,
    typer.Option(parser=duration, metavar="DURATION", help="Never begin after this time from sending."),
]
Level = Annotated[
    str, typer.Option(metavar="PRIORITY", help="The priority among the waiting commands: high, normal or low.")
]


class Unserved(TelexError):
    """No program serves the command ``name``: `telex.NoHandler`, in the words of the command line."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"no program serves the command {self.name!r}: check its name, start the program that serves it, or use "
            "--no-wait to have it run when that program starts"
        )


def send(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The command's name, such as report:build.")],
    content: Annotated[
        str, typer.Argument(metavar="[JSON]", help="Its content, in JSON; - reads standard input.")
    ] = "null",
    key: Annotated[
        str | None,
        typer.Option("--key", "-k", metavar="KEY", help="The key: a command that runs once runs once per key."),
    ] = None,
    url: OptionalUrl = None,
    server: Annotated[
        str | None,
        typer.Option("--server", "-s", metavar="URL", help="Send by HTTP to this address, instead of --url."),
    ] = None,
    timeout: ResultTimeout = None,
    no_wait: NoWait = False,
    delay: Delay = None,
    at: At = None,
    expires: Expires = None,
    priority: Level = "normal",
    connect_timeout: ConnectTimeout = 5.0,
    json: Json = False,
) -> None:
    """Send a command, and print its result.

    A terminal shows the progress. Exit code 5: the command has failed. When --timeout is over, a command that has not
    begun is dropped. A command that has begun continues; if it runs once, send it again with the same --key to get its
    outcome. With --no-wait no program has to serve the command yet. With --delay or --at the program
    waits for the result, too, unless --no-wait is given. `telex jobs` lists and cancels commands by their ids.

    \b
    Examples:
      telex send report:build '{"year": 2026, "month": 7}' --url sqlite:///shop.db
      telex send charge '{"order": 7}' --key order-7 --timeout 30s --url sqlite:///shop.db
      telex send report:build 7 --at 2027-05-01T09:00+02:00 --no-wait --url sqlite:///shop.db
      telex send report:build 7 --delay 10m --expires 1h --priority low --no-wait --url sqlite:///shop.db
      telex send charge '{"order": 7}' --key order-7 --server http://127.0.0.1:8000/commands
      telex send report:build - --json --url sqlite:///shop.db < month.json | jq .result
    """
    given = json_content(content)
    try:
        check_key(key)
    except BadOption:
        raise BadOption("--key", key, f"it must be 1 to 255 printable characters, such as {EXAMPLE_KEY}") from None
    url = chosen_url(ctx, url)
    plan = _plan(ctx, delay, at, expires, priority, timeout, by_http=server is not None)
    with Bar(name) as bar:
        if server is not None:
            from telex.cli.http import carry_out

            sent = carry_out(server, name, given, key, timeout, connect_timeout, bar, wait=not no_wait)
        elif url is not None:
            sent = with_hub(url, lambda hub: _send_on(hub, name, given, key, timeout, bar, plan, wait=not no_wait))
        else:
            hint = "give --url sqlite:///file.db or --server http://127.0.0.1:8000/commands"
            raise typer.BadParameter(hint, ctx, param_hint="'--url' / '--server'")
    _print(sent, json)


def _plan(
    ctx: typer.Context,
    delay: float | None,
    at: str | None,
    expires: float | None,
    priority: str,
    timeout: float | None,
    *,
    by_http: bool,
) -> SendPlan | None:
    """Return the plan of the command. Raises `typer.BadParameter` for options that a server does not take by HTTP, and
    `BadOption`.
    """
    from telex.commands.plan import plan_for

    given = [f"--{name}" for name in ("delay", "at", "expires", "priority") if is_given(ctx, name)]
    if given and by_http:
        fix = "a server of commands by HTTP does not take it; send to the database of the server, with --url"
        raise typer.BadParameter(fix, ctx, param_hint=f"'{given[0]}'")
    if given[:2] == ["--delay", "--at"]:
        raise typer.BadParameter("give --delay or --at, not both", ctx, param_hint="'--at'")
    return plan_for(delay, None if at is None else _instant(at), expires, cast("Priority", priority), timeout, time())


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadOption("--at", text, "it must have a date, a time and the offset from UTC: 2027-05-01T09:00+02:00")
    return found


def json_content(text: str) -> Any:
    """Return an argument in JSON, or the standard input for ``-``. Raises `BadOption`."""
    from telex.codec.content import from_json

    try:
        return from_json(sys.stdin.buffer.read() if text == "-" else text.encode())
    except ValueError as error:
        fix = f"""it is not JSON ({error}); write text as '"text"'"""
        raise BadOption("content", text, fix) from None


async def _send_on(
    hub: Hub,
    name: str,
    content: object,
    key: str | None,
    timeout: float | None,
    bar: Bar,
    plan: SendPlan | None,
    *,
    wait: bool,
) -> SentCommand:
    from telex.hub import dispatcher_of

    try:
        dispatcher = dispatcher_of(hub)
        ticket = await dispatcher.send(dispatcher.request(name, content, key, timeout, needs_server=wait, plan=plan))
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
                async for step in ticket.progress():
                    bar.update(step.fraction, step.text)
        except TimeoutError:
            raise Timeout(f"the command {name!r}", timeout or 0.0) from None
        outcome = await ticket.outcome()
        sent.error, sent.replayed = outcome.error, outcome.replayed
        if outcome.error is None:
            sent.result = outcome.result
    return sent


def _print(sent: SentCommand, json: bool) -> None:
    error = sent.error
    if error is not None and error.code == CONFLICT:
        raise KeyConflict(sent.command, sent.key or "")
    if json:
        print_json(sent)
    elif not sent.ended:
        print_line(sent.id or "")
    elif error is None:
        print_line(sent.result if isinstance(sent.result, str) else to_json(sent.result))
    if error is not None:
        text = error.message if error.code in COMPLETE_MESSAGES else f"{error.type}: {error.message}"
        report(text if error.code == REFUSED else f"the command {sent.command!r} failed: {text}")
        raise typer.Exit(NOT_CARRIED_OUT.get(error.code, Exit.FAILED))
