"""``telex once``: show and forget the records of commands that run once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from telex.cli.exits import EXIT_CODES, Exit
from telex.cli.files import with_hub
from telex.cli.options import Json, Url, Yes
from telex.cli.output import confirm, local_time, print_json, print_line, report, to_json
from telex.once.results import RESULTS_BUCKET

if TYPE_CHECKING:
    from telex import Hub
    from telex.engines import Records
    from telex.once import Entry

_ONCE = """Show or forget the record of a command that runs once per key.

\b
Examples:
  telex once show charge order-7 --url sqlite:///shop.db
  telex once show charge order-7 --json --url sqlite:///shop.db | jq .state
  telex once forget charge order-7 --yes --url sqlite:///shop.db
"""
once: typer.Typer = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_ONCE)
Name = Annotated[str, typer.Argument(help="The command's name.")]
Key = Annotated[str, typer.Argument(help="The key that the command was sent with.")]


class Found(msgspec.Struct):
    """The record of a key, its revision, and the result that the record holds or refers to."""

    entry: Entry
    revision: int
    result: Any

    @property
    def expired(self) -> bool:
        """True when the outcome has expired: the same key runs the command again."""
        return self.entry.ended and self.entry.expires <= datetime.now(UTC).timestamp()


@once.command("show", epilog=EXIT_CODES)
def once_show(name: Name, key: Key, url: Url, json: Json = False) -> None:
    """Print the record of a key: its state, its outcome, and the time until which it is kept.

    \b
    Examples:
      telex once show charge order-7 --url sqlite:///shop.db
      telex once show charge order-7 --json --url sqlite:///shop.db | jq .state
    """
    found = _found(url, name, key)
    if json:
        about = {"command": name, "key": key, "revision": found.revision} | _plain(found)
        print_json(about)
        return
    for line in _lines(name, key, found):
        print_line(line)


@once.command("forget", epilog=EXIT_CODES)
def once_forget(
    name: Name,
    key: Key,
    url: Url,
    yes: Yes = False,
) -> None:
    """Delete the record of a key: sending the command with this key again runs it again.

    On a terminal it asks first. When the command is running, its outcome will be refused.

    \b
    Examples:
      telex once forget charge order-7 --url sqlite:///shop.db
      telex once forget charge order-7 --yes --url sqlite:///shop.db
    """
    found = _found(url, name, key)
    if not yes:
        running = ["The command is running, or its worker died. Its outcome will be refused."]
        lines = [*_lines(name, key, found), *(running if found.entry.state == "running" else [])]
        confirm(lines, "Forget this? The same key will run the command again.")

    async def delete(hub: Hub) -> bool:
        records = _records(hub)
        done = await records.put(f"once:{name}", key, None, found.revision) is not None
        result = await records.get(RESULTS_BUCKET, found.entry.ref) if done and found.entry.ref else None
        if result is not None:
            await records.put(RESULTS_BUCKET, found.entry.ref, None, result.revision)
        return done

    if not with_hub(url, delete):
        report(f"{name} {key} has changed in the meantime, and was not forgotten; show it again")
        raise typer.Exit(Exit.ERROR)
    print_line(f"{name} {key} is forgotten: the same key will run the command again")


def _records(hub: Hub) -> Records:
    from telex.hub import runtime_of

    return runtime_of(hub).records("records")


def _found(url: str, name: str, key: str) -> Found:
    from telex.codec.content import from_json
    from telex.names import check_topic
    from telex.once.machine import decode

    check_topic(name)

    async def read(hub: Hub) -> Found | None:
        records = _records(hub)
        record = await records.get(f"once:{name}", key)
        if record is None:
            return None
        entry = decode(record.value)
        result: object = msgspec.UNSET
        if entry.ref:
            kept = await records.get(RESULTS_BUCKET, entry.ref)
            result = msgspec.UNSET if kept is None else from_json(kept.value)
        elif entry.result is not msgspec.UNSET:
            result = from_json(bytes(entry.result))
        return Found(entry, record.revision, result)

    found = with_hub(url, read)
    if found is None:
        report(f"there is no record of {name} {key}: sending it will run the command")
        raise typer.Exit(Exit.ERROR)
    return found


def _plain(found: Found) -> dict[str, Any]:
    about = {
        name: value for name, value in msgspec.structs.asdict(found.entry).items() if name not in ("result", "ref")
    }
    about |= {name: _time(about[name]) for name in ("completed", "expires") if about[name]}
    return about | ({} if found.result is msgspec.UNSET else {"result": found.result})


def _lines(name: str, key: str, found: Found) -> list[str]:
    entry = found.entry
    lines = [f"{name} {key}: {entry.state}{', expired' if found.expired else ''}, attempt {entry.attempt}"]
    if found.result is not msgspec.UNSET:
        lines.append(f"result     {to_json(found.result)}")
    elif entry.ref:
        lines.append("result     was deleted")
    if entry.error is not None:
        lines.append(f"error      {entry.error.type} ({entry.error.code}): {entry.error.message}")
    if entry.ended:
        lines += [f"completed  {_time(entry.completed)}", f"kept until {_time(entry.expires)}"]
    else:
        lines.append(f"lease      {entry.lease:g} s, of {entry.owner}")
    return lines


def _time(seconds: float) -> str:
    return local_time(datetime.fromtimestamp(seconds, UTC))
