"""``telex once``: what is recorded of commands that run once."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from telex.cli.exits import EXIT_CODES, Exit, tell
from telex.cli.files import Url, show, with_hub
from telex.cli.options import Json
from telex.once.results import RESULTS

if TYPE_CHECKING:
    from telex import Hub
    from telex.engines import Records
    from telex.once import Entry

_ONCE = """Look after commands that run once: what is recorded of a key.

\b
Examples:
  telex once show charge order-7 --url sqlite:///shop.db
  telex once show charge order-7 --json --url sqlite:///shop.db | jq .state
  telex once forget charge order-7 --yes --url sqlite:///shop.db
"""
once: typer.Typer = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_ONCE)
Name = Annotated[str, typer.Argument(help="The command's name.")]
Key = Annotated[str, typer.Argument(help="The key that it was sent with.")]


class Found(msgspec.Struct):
    """A record, its revision, and the result that it has or names."""

    entry: Entry
    revision: int
    result: Any

    @property
    def expired(self) -> bool:
        """Whether a repeat runs again."""
        return self.entry.ended and self.entry.expires <= datetime.now(UTC).timestamp()


@once.command("show", epilog=EXIT_CODES)
def once_show(name: Name, key: Key, url: Url, json: Json = False) -> None:
    """Print what is recorded of a key: whether it runs, its outcome, and until when that is kept.

    \b
    Examples:
      telex once show charge order-7 --url sqlite:///shop.db
      telex once show charge order-7 --json --url sqlite:///shop.db | jq .state
    """
    found = _found(url, name, key)
    if json:
        about = {"command": name, "key": key, "revision": found.revision} | _plain(found)
        typer.echo(msgspec.json.encode(about).decode())
        return
    for line in _lines(name, key, found):
        show(line)


@once.command("forget", epilog=EXIT_CODES)
def once_forget(
    name: Name,
    key: Key,
    url: Url,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget what is recorded of a key. A repeat that is sent after this runs again, as if for the first time.

    On a terminal it asks. While the command runs, what its handler comes to is refused as another's.

    \b
    Examples:
      telex once forget charge order-7 --url sqlite:///shop.db
      telex once forget charge order-7 --yes --url sqlite:///shop.db
    """
    found = _found(url, name, key)
    if not yes and sys.stdin.isatty():
        _confirm(name, key, found)

    async def delete(hub: Hub) -> bool:
        records = _records(hub)
        done = await records.delete(f"once:{name}", key, found.revision)
        result = await records.get(RESULTS, found.entry.ref) if done and found.entry.ref else None
        if result is not None:
            await records.delete(RESULTS, found.entry.ref, result.revision)
        return done

    if not with_hub(url, delete):
        tell(f"{name} {key} has changed in the meantime, and was not forgotten; look at it again")
        raise typer.Exit(Exit.ERROR)
    show(f"{name} {key} is forgotten: a repeat will run again")


def _records(hub: Hub) -> Records:
    from telex.hub import runtime_of

    records = runtime_of(hub).engine.records
    if records is None:
        raise AssertionError("a file has records")
    return records


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
            kept = await records.get(RESULTS, entry.ref)
            result = msgspec.UNSET if kept is None else from_json(kept.value)
        elif entry.result is not msgspec.UNSET:
            result = from_json(bytes(entry.result))
        return Found(entry, record.revision, result)

    found = with_hub(url, read)
    if found is None:
        tell(f"nothing is recorded of {name} {key}: it would run when it is sent")
        raise typer.Exit(Exit.ERROR)
    return found


def _plain(found: Found) -> dict[str, Any]:
    about = {
        name: value for name, value in msgspec.structs.asdict(found.entry).items() if name not in ("result", "ref")
    }
    about |= {name: _when(about[name]) for name in ("completed", "expires") if about[name]}
    return about | ({} if found.result is msgspec.UNSET else {"result": found.result})


def _lines(name: str, key: str, found: Found) -> list[str]:
    entry = found.entry
    lines = [f"{name} {key}: {entry.state}{', expired' if found.expired else ''}, attempt {entry.attempt}"]
    if found.result is not msgspec.UNSET:
        lines.append(f"result     {msgspec.json.encode(found.result).decode()}")
    elif entry.ref:
        lines.append("result     is not kept any more")
    if entry.error is not None:
        lines.append(f"error      {entry.error.type} ({entry.error.code}): {entry.error.message}")
    if entry.ended:
        lines += [f"completed  {_when(entry.completed)}", f"kept until {_when(entry.expires)}"]
    else:
        lines.append(f"lease      {entry.lease:g} s, of {entry.owner}")
    return lines


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "seconds")


def _confirm(name: str, key: str, found: Found) -> None:
    for line in _lines(name, key, found):
        typer.echo("".join(c if c.isprintable() else " " for c in line), err=True)
    if found.entry.state == "running":
        typer.echo("It runs, or its worker died: what it comes to will be refused.", err=True)
    try:
        agreed = typer.confirm("Forget this? A repeat will run again.", err=True)
    except typer.Abort:
        raise typer.Exit(Exit.INTERRUPTED) from None
    if not agreed:
        tell("nothing was forgotten")
        raise typer.Exit(Exit.ERROR)
