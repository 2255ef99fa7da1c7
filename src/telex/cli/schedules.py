"""``telex schedules``: list, add, show, change, pause, resume and delete the schedules of a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex.cli.files import file_to_list, not_found, with_hub
from telex.cli.options import Json, OptionalUrl, Url
from telex.cli.output import counted, local_time, print_json, print_line, print_table

if TYPE_CHECKING:
    from telex import ScheduleInfo
    from telex.schedules.store import ScheduleStore

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule, as `telex schedules` lists it.")]
Command = Annotated[str | None, typer.Option("--command", help="The command that each run sends.")]
Topic = Annotated[str | None, typer.Option("--topic", help="The topic to which each run publishes.")]
Body = Annotated[str | None, typer.Option("--content", metavar="JSON", help="The content of each run, in JSON.")]
Zone = Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="The time zone. [default: UTC]")]
Policy = Annotated[
    str | None, typer.Option("--misfire", metavar="POLICY", help="Missed runs: skip, once or all. [default: once]")
]
Jitter = Annotated[str | None, typer.Option("--jitter", metavar="DURATION", help="The longest random delay of a run.")]
WHEN = "A cron expression, 'every 10s', or an instant such as 2027-05-01T09:00+02:00."

schedules: typer.Typer = typer.Typer(rich_markup_mode=None)


@schedules.callback(invoke_without_command=True)
def overview(ctx: typer.Context, url: OptionalUrl = None, json: Json = False) -> None:
    """List schedules with their next and last run, and the number of missed runs. With a command: add, change or
    delete one.

    \b
    Examples:
      telex schedules --url sqlite:///shop.db
      telex schedules add weekly '0 9 * * mon' --command report --content '{"team": "sales"}' --url sqlite:///shop.db
      telex schedules change weekly --when '0 8 * * mon' --tz Europe/Paris --url sqlite:///shop.db
      telex schedules pause weekly --url sqlite:///shop.db
    """
    file = file_to_list(ctx, url, json)
    if file is not None:
        listing(file, json)


@schedules.command("list")
def listing(url: Url, json: Json = False) -> None:
    """List schedules with their next and last run.

    \b
    Examples:
      telex schedules list --json --url sqlite:///shop.db | jq '.[] | select(.paused)'
    """
    found = _with_store(url, lambda store: store.list())
    if json:
        print_json(found)
        return
    rows = [
        (s.name, s.when, s.tz, _target(s), _time(s.next), _time(s.last), s.fired, s.missed, _state(s)) for s in found
    ]
    print_table(("NAME", "WHEN", "ZONE", "TARGET", "NEXT", "LAST", "RUNS", "MISSED", "STATE"), rows, "schedules")


@schedules.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A new name.")],
    when: Annotated[str, typer.Argument(metavar="WHEN", help=WHEN)],
    url: Url,
    command: Command = None,
    topic: Topic = None,
    content: Body = None,
    tz: Zone = None,
    misfire: Policy = None,
    jitter: Jitter = None,
    json: Json = False,
) -> None:
    """Add a schedule, with --command or --topic. Programs that fire schedules begin with it at once.

    \b
    Examples:
      telex schedules add weekly '0 9 * * mon' --command report --content '{"team": "sales"}' --url sqlite:///shop.db
      telex schedules add beat 'every 10s' --topic heartbeats --url sqlite:///shop.db
    """
    from telex.schedules.plan import ScheduleRecord, check_schedule_name

    given = _given(when, command, topic, content, tz, misfire, jitter)
    record = ScheduleRecord(start=0.0, **given)
    _print(name, _with_store(url, lambda store: store.add(check_schedule_name(name), record), create=True), json)


@schedules.command()
def show(name: Name, url: Url, json: Json = False) -> None:
    """Print one schedule.

    \b
    Examples:
      telex schedules show weekly --url sqlite:///shop.db
    """
    _print(name, _with_store(url, lambda store: store.get(name)), json)


@schedules.command()
def change(
    name: Name,
    url: Url,
    when: Annotated[str | None, typer.Option("--when", metavar="WHEN", help=WHEN)] = None,
    command: Command = None,
    topic: Topic = None,
    content: Body = None,
    tz: Zone = None,
    misfire: Policy = None,
    jitter: Jitter = None,
    json: Json = False,
) -> None:
    """Change the given parts of a schedule, in all processes.

    \b
    Examples:
      telex schedules change weekly --when '0 8 * * mon' --url sqlite:///shop.db
    """
    given = _given(when, command, topic, content, tz, misfire, jitter)
    _print(name, _with_store(url, lambda store: store.change(name, given)), json)


@schedules.command()
def pause(name: Name, url: Url, json: Json = False) -> None:
    """Stop a schedule, in all processes. Its misfire policy decides about the runs that it misses.

    \b
    Examples:
      telex schedules pause weekly --url sqlite:///shop.db
    """
    _print(name, _with_store(url, lambda store: store.set_paused(name, paused=True)), json)


@schedules.command()
def resume(name: Name, url: Url, json: Json = False) -> None:
    """Continue a paused schedule.

    \b
    Examples:
      telex schedules resume weekly --url sqlite:///shop.db
    """
    _print(name, _with_store(url, lambda store: store.set_paused(name, paused=False)), json)


@schedules.command()
def delete(name: Name, url: Url, json: Json = False) -> None:
    """Delete a schedule, in all processes.

    \b
    Examples:
      telex schedules delete weekly --url sqlite:///shop.db
    """
    if not _with_store(url, lambda store: store.delete(name)):
        raise not_found("schedule", name)
    if json:
        print_json({"name": name, "deleted": True})
    else:
        print_line(f"{name}: deleted")


def _with_store(url: str, work: Callable[[ScheduleStore], Awaitable[Any]], *, create: bool = False) -> Any:
    from telex.schedules.schedules import store_of

    return with_hub(url, lambda hub: work(store_of(hub.schedules)), create=create)


def _given(
    when: str | None,
    command: str | None,
    topic: str | None,
    content: str | None,
    tz: str | None,
    misfire: str | None,
    jitter: str | None,
) -> dict[str, Any]:
    """Return the options that were given, as fields of a record. Raises `BadOption`."""
    from telex.cli.send import json_content
    from telex.schedules.plan import jitter_of, text_of_when

    fields = {"command": command, "topic": topic, "tz": tz, "misfire": misfire}
    given: dict[str, Any] = {field: value for field, value in fields.items() if value is not None}
    if when is not None:
        given["when"] = text_of_when(when)
    if jitter is not None:
        given["jitter"] = jitter_of(jitter)
    if content is not None:
        given["content"] = json_content(content)
    return given


def _print(name: str, info: ScheduleInfo | None, json: bool) -> None:
    if info is None:
        raise not_found("schedule", name)
    if json:
        print_json(info)
        return
    parts = [f"{info.name}: {info.when} in {info.tz}, {_target(info)}", _state(info)]
    parts += [f"{text} {_time(at)}" for text, at in (("next", info.next), ("last", info.last)) if at is not None]
    parts += [counted(info.fired, "run"), f"{info.missed:,} missed" if info.missed else ""]
    print_line("; ".join(filter(None, parts)))


def _target(info: ScheduleInfo) -> str:
    return f"command {info.command}" if info.command else f"topic {info.topic}"


def _state(info: ScheduleInfo) -> str:
    return "ended" if info.ended else "paused" if info.paused else ""


def _time(at: Any) -> str:
    return "" if at is None else local_time(at)
