"""``telex triggers``: list the triggers that a file keeps, pause them, let them go on, fire them by hand."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from telex.cli.files import MaybeUrl, Url, none_such, print_json, show, to_list, with_hub
from telex.cli.options import Json

if TYPE_CHECKING:
    from telex import Hub, TriggerStatistics

Name = Annotated[str, typer.Argument(metavar="NAME", help="The trigger, as `telex triggers` names it.")]

triggers: typer.Typer = typer.Typer(rich_markup_mode=None)


@triggers.callback(invoke_without_command=True)
def listing(
    ctx: typer.Context,
    url: MaybeUrl = None,
    json: Json = False,
) -> None:
    """List triggers: when each fires next and fired last. With a command: pause one, let it go on, or fire it.

    \b
    Examples:
      telex triggers --url sqlite:///shop.db
      telex triggers --json --url sqlite:///shop.db | jq '.[] | select(.late > 5)'
      telex triggers pause mornings --url sqlite:///shop.db
      telex triggers fire mornings --url sqlite:///shop.db
    """
    file = to_list(ctx, url, json)
    if file is None:
        return
    found = with_hub(file, _list)
    if json:
        print_json(found)
        return
    for trigger in found:
        show(_described(trigger))


@triggers.command()
def pause(name: Name, url: Url, json: Json = False) -> None:
    """Let a trigger fire no more, in all processes. What it misses is as its program says with misfire=.

    \b
    Examples:
      telex triggers pause mornings --url sqlite:///shop.db
    """
    from telex.hub import scheduler_of
    from telex.triggers.admin import pause_trigger

    _tell_what_is_now(url, name, with_hub(url, lambda hub: pause_trigger(scheduler_of(hub), name)), "paused", json)


@triggers.command()
def resume(name: Name, url: Url, json: Json = False) -> None:
    """Let a trigger that was paused go on, within a second.

    \b
    Examples:
      telex triggers resume mornings --url sqlite:///shop.db
      telex triggers resume mornings --json --url sqlite:///shop.db | jq .next
    """
    from telex.hub import scheduler_of
    from telex.triggers.admin import resume_trigger

    _tell_what_is_now(url, name, with_hub(url, lambda hub: resume_trigger(scheduler_of(hub), name)), "goes on", json)


@triggers.command()
def fire(name: Name, url: Url, json: Json = False) -> None:
    """Fire a trigger by hand, now, beside its schedule and also while it is paused.

    \b
    Examples:
      telex triggers fire mornings --url sqlite:///shop.db
      telex triggers fire mornings --json --url sqlite:///shop.db | jq .fired
    """
    from telex.hub import scheduler_of
    from telex.triggers.admin import fire_trigger

    number = with_hub(url, lambda hub: fire_trigger(scheduler_of(hub), name))
    _tell_what_is_now(url, name, number is not None, f"firing {number}", json)


async def _list(hub: Hub) -> list[TriggerStatistics]:
    from telex.hub import scheduler_of
    from telex.triggers.admin import stored_triggers

    return await stored_triggers(scheduler_of(hub))


def _tell_what_is_now(url: str, name: str, found: bool, what: str, json: bool) -> None:
    if not found:
        raise none_such("trigger", name)
    if json:
        print_json(next((trigger for trigger in with_hub(url, _list) if trigger.trigger == name), None))
        return
    show(f"{name}: {what}")


def _described(trigger: TriggerStatistics) -> str:
    parts = [f"{trigger.trigger}: {trigger.schedule}, to {trigger.topic}"]
    if trigger.paused or trigger.ended:
        parts.append("paused" if trigger.paused else "ended")
    elif trigger.next is not None:  # it is known of those of time alone
        parts.append(f"next {_when(trigger.next)}")
    if trigger.last is not None:
        parts.append(f"last {_when(trigger.last)}, {trigger.late:.3f} s late")
    return "; ".join([*parts, f"{trigger.fired} fired"])


def _when(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "seconds")
