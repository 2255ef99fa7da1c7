"""``telex jobs``: list, show, cancel and retry commands that were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.exits import Exit
from telex.cli.files import file_to_list, with_hub
from telex.cli.options import Json, OptionalUrl, Url
from telex.cli.output import counted, local_time, print_json, print_line, print_table, report

if TYPE_CHECKING:
    from telex import CommandInfo, Hub
    from telex.commands.job import JobFilter

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the command, as `telex jobs list` shows it.")]
jobs: typer.Typer = typer.Typer(rich_markup_mode=None)


@jobs.callback(invoke_without_command=True)
def overview(ctx: typer.Context, url: OptionalUrl = None, json: Json = False) -> None:
    """List the last commands that were sent. With a command: filter, show, cancel or retry them by their ids.

    \b
    Examples:
      telex jobs --url sqlite:///shop.db
      telex jobs list --state failed --url sqlite:///shop.db
      telex jobs list --name report:build --limit 20 --before ID --json --url sqlite:///shop.db
      telex jobs retry 01a22437-c9aa-7f34-bba8-17e409ed3f2b --url sqlite:///shop.db
    """
    file = file_to_list(ctx, url, json)
    if file is not None:
        jobs_list(file, json=json)


@jobs.command("list")
def jobs_list(
    url: Url,
    state: Annotated[
        str | None,
        typer.Option(
            "--state", metavar="STATE", help="Only: delayed, queued, running, done, failed, cancelled or expired."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", metavar="NAME", help="Only this command.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", help="The most to list, up to 1000.")] = 100,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Only older ones: the last id of the page before.")
    ] = None,
    json: Json = False,
) -> None:
    """List the last commands that were sent, the newest first.

    \b
    Examples:
      telex jobs list --url sqlite:///shop.db
      telex jobs list --state running --name report:build --url sqlite:///shop.db
      telex jobs list --state failed --json --url sqlite:///shop.db | jq '.[].error.message'
    """
    from telex.commands.job import filter_for
    from telex.hub import dispatcher_of

    wanted = filter_for(state, name, limit, before)
    found = with_hub(url, lambda hub: dispatcher_of(hub).jobs(wanted))
    if json:
        print_json(found)
        return
    rows = [(job.id, job.command, job.state, job.attempt, _when(job), _note(job)) for job in found]
    print_table(("ID", "COMMAND", "STATE", "ATTEMPT", "SINCE", "NOTE"), rows, _kind(wanted))


@jobs.command("show")
def jobs_show(id: Id, url: Url, json: Json = False) -> None:
    """Print one command with its content, its key, its times, and its result or its error. Content of more than 64 KiB
    is not printed, only its size. Exit code 1: there is no such command.

    \b
    Examples:
      telex jobs show 01a22437-c9aa-7f34-bba8-17e409ed3f2b --url sqlite:///shop.db
      telex jobs show 01a22437-c9aa-7f34-bba8-17e409ed3f2b --json --url sqlite:///shop.db | jq .result
    """
    from telex.cli.output import to_json
    from telex.commands.job import MAX_CONTENT_BYTES

    job = with_hub(url, lambda hub: _job(hub, id))
    if json:
        print_json(job)
        return
    for field in job.__struct_fields__:
        value = getattr(job, field)
        if field == "content_bytes":
            continue
        if field == "content" and value is None and job.content_bytes is not None:
            print_line(f"content: {'null' if job.content_bytes <= MAX_CONTENT_BYTES else _too_large(job)}")
        elif value is not None and value != {}:
            shown = local_time(value) if field.endswith(("_at", "_since")) else value
            print_line(f"{field.replace('_', ' ')}: {shown if isinstance(shown, str) else to_json(shown)}")


@jobs.command("cancel")
def jobs_cancel(id: Id, url: Url, json: Json = False) -> None:
    """Cancel a command. A queued or delayed one never begins; of a running one the handler is cancelled.

    Exit code 1: there is no such command, or it has ended.

    \b
    Examples:
      telex jobs cancel 01a22437-c9aa-7f34-bba8-17e409ed3f2b --url sqlite:///shop.db
    """

    async def cancel(hub: Hub) -> bool:
        return await (await hub.ticket(id)).cancel()

    if not with_hub(url, cancel):
        report(f"the command {id} has ended; `telex jobs show` prints its outcome")
        raise typer.Exit(Exit.ERROR)
    _print_after(url, id, "cancelled", json)


@jobs.command("retry")
def jobs_retry(id: Id, url: Url, json: Json = False) -> None:
    """Run a failed command again, with the same arguments and the same id. It does not wait for the outcome.

    Exit code 1: there is no such command. Exit code 2: it has not failed, or its arguments are no longer kept.

    \b
    Examples:
      telex jobs retry 01a22437-c9aa-7f34-bba8-17e409ed3f2b --url sqlite:///shop.db
    """
    with_hub(url, lambda hub: hub.retry(id))
    _print_after(url, id, "queued again", json)


async def _job(hub: Hub, id: str) -> CommandInfo:
    """Return one command. Raises `NoSuchCommand`."""
    from telex import NoSuchCommand

    found = await hub.commands(id=id)
    if not found:
        raise NoSuchCommand(id)
    return found[0]


def _print_after(url: str, id: str, done: str, json: bool) -> None:
    if json:
        print_json(with_hub(url, lambda hub: _job(hub, id)))
    else:
        print_line(f"{id}: {done}")


def _kind(wanted: JobFilter) -> str:
    """Return the name of the wanted commands, for the report that there are none."""
    state = "".join(f"{each} " for each in wanted.states or ())
    of = "" if wanted.name is None else f" {wanted.name!r}"
    older = "" if wanted.before is None else f" from before {wanted.before}"
    return f"{state}commands{of}{older}; ended ones are listed while their outcomes are kept"


def _too_large(job: CommandInfo) -> str:
    return f"not shown, it has {counted(job.content_bytes or 0, 'byte')}"


def _when(job: CommandInfo) -> str:
    moment = job.completed_at or job.running_since or (job.due_at if job.state == "delayed" else job.sent_at)
    return "" if moment is None else local_time(moment)


def _note(job: CommandInfo) -> str:
    parts = [f"key {job.key}" if job.key else "", "" if job.priority == "normal" else job.priority]
    return ", ".join([*filter(None, parts), *([] if job.error is None else [f"{job.error.type}: {job.error.message}"])])
