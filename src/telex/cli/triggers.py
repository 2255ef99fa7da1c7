"""``telex triggers``: list, pause, resume and fire the triggers of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.files import file_to_list, not_found, with_hub
from telex.cli.options import Json, OptionalUrl, Url
from telex.cli.output import local_time, print_json, print_line

if TYPE_CHECKING:
    from telex import Hub, TriggerStatistics


def _checked(name: str) -> str:
    from telex.names import check_topic

    return check_topic(name)


Name = Annotated[
    str, typer.Argument(metavar="NAME", callback=_checked, help="The trigger, as `telex triggers` lists it.")
]

triggers: typer.Typer = typer.Typer(rich_markup_mode=None)


@triggers.callback(invoke_without_command=True)
def listing(
    ctx: typer.Context,
    url: OptionalUrl = None,
    json: Json = False,
) -> None:
    """List triggers with their next and last firing. With a command: pause, resume or fire one.

    \b
    Examples:
      telex triggers --url sqlite:///shop.db
      telex triggers --json --url sqlite:///shop.db | jq '.[] | select(.late > 5)'
      telex triggers pause mornings --url sqlite:///shop.db
      telex triggers fire mornings --url sqlite:///shop.db
    """
    file = file_to_list(ctx, url, json)
    if file is None:
        return
    found = with_hub(file, _list)
    if json:
        print_json(found)
        return
    for trigger in found:
        print_line(_described(trigger))


@triggers.command()
def pause(name: Name, url: Url, json: Json = False) -> None:
    """Stop a trigger from firing, in all processes. Its misfire= decides about the firings that it misses.

    \b
    Examples:
      telex triggers pause mornings --url sqlite:///shop.db
    """
    from telex.hub import scheduler_of
    from telex.triggers.admin import pause_trigger

    _print_state(url, name, with_hub(url, lambda hub: pause_trigger(scheduler_of(hub), name)), "paused", json)


@triggers.command()
def resume(name: Name, url: Url, json: Json = False) -> None:
    """Let a paused trigger fire again, within a second.

    \b
    Examples:
      telex triggers resume mornings --url sqlite:///shop.db
      telex triggers resume mornings --json --url sqlite:///shop.db | jq .next
    """
    from telex.hub import scheduler_of
    from telex.triggers.admin import resume_trigger

    _print_state(url, name, with_hub(url, lambda hub: resume_trigger(scheduler_of(hub), name)), "resumed", json)


@triggers.command()
def fire(name: Name, url: Url, json: Json = False) -> None:
    """Fire a trigger now, in addition to its schedule; also while it is paused.

    \b
    Examples:
      telex triggers fire mornings --url sqlite:///shop.db
      telex triggers fire mornings --json --url sqlite:///shop.db | jq .fired
    """
    from telex.hub import scheduler_of
    from telex.triggers.admin import fire_trigger

    number = with_hub(url, lambda hub: fire_trigger(scheduler_of(hub), name))
    _print_state(url, name, number is not None, f"firing {number}", json)


async def _list(hub: Hub) -> list[TriggerStatistics]:
    from telex.hub import scheduler_of
    from telex.triggers.admin import stored_triggers

    return await stored_triggers(scheduler_of(hub))


def _print_state(url: str, name: str, found: bool, state: str, json: bool) -> None:
    if not found:
        raise not_found("trigger", name)
    if json:
        print_json(next((trigger for trigger in with_hub(url, _list) if trigger.trigger == name), None))
        return
    print_line(f"{name}: {state}")


def _described(trigger: TriggerStatistics) -> str:
    parts = [f"{trigger.trigger}: {trigger.schedule}, to {trigger.topic}"]
    if trigger.paused or trigger.ended:
        parts.append("paused" if trigger.paused else "ended")
    elif trigger.next is not None:  # only schedules have a next firing
        parts.append(f"next {local_time(trigger.next)}")
    if trigger.last is not None:
        parts.append(f"last {local_time(trigger.last)}, {trigger.late:.3f} s late")
    return "; ".join([*parts, f"{trigger.fired} fired"])
