"""``telex export`` and ``telex import``."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex import TelexError
from telex.cli.bar import Bar
from telex.cli.exits import Exit
from telex.cli.files import with_hub
from telex.cli.history import check_topic_exists, readable
from telex.cli.options import Json, TopicPattern, Url
from telex.cli.output import counted, report, was

if TYPE_CHECKING:
    from telex import Hub, Message

BATCH_MESSAGES = 500


class NotAMessage(TelexError):
    """The user's fault: a line of the imported file was not written by `telex export`."""


def export(url: Url, pattern: TopicPattern = ">") -> None:
    """Write all messages that topics keep to standard output as JSON lines, for `telex import`.

    When the output goes to a file or a pipe, a terminal shows the progress.

    \b
    Examples:
      telex export --url sqlite:///shop.db > all.jsonl
      telex export 'orders:>' --url sqlite:///shop.db | gzip > orders.jsonl.gz
    """
    out = sys.stdout.buffer
    damaged: list[str] = []

    async def write(hub: Hub) -> None:
        await check_topic_exists(hub, pattern)
        names = await hub.topics(pattern)
        total = sum(hub.topic(name).statistics().kept for name in names)
        written = 0
        for name in names:
            async for message in readable(hub.topic(name).history(), damaged):
                out.write(message.to_json() + b"\n")
                written += 1
                if not written % BATCH_MESSAGES:
                    bar.update(written / max(total, written), counted(written, "message"))

    with Bar("exporting", wanted=not sys.stdout.isatty()) as bar:
        with_hub(url, write, exact=True)
        out.flush()
    if damaged:
        raise typer.Exit(Exit.ERROR)


def import_(
    url: Url,
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="JSON lines that `telex export` wrote; - reads standard input.")
    ],
    json: Json = False,
) -> None:
    """Publish the messages that `telex export` wrote, with their ids, times, headers and keys.

    The messages are appended to the topics of the file or database. A message whose id is stored there, or was
    imported before, is not stored again. The retention of a topic may keep fewer messages than were imported: a notice
    names such topics. A terminal shows the progress.

    \b
    Examples:
      telex import orders.jsonl --url sqlite:///other.db
      telex export --url sqlite:///shop.db | telex import - --url postgresql://shop@db/shop
      zcat orders.jsonl.gz | telex import - --json --url sqlite:///other.db
    """
    size = _size(file)

    async def publish(hub: Hub) -> tuple[int, int, list[str]]:
        count = known = 0
        topics = Counter[str]()
        for batch, end in _batches(file):
            stored = await hub.adopt(batch)
            topics.update(message.topic for message in stored)
            count, known = count + len(stored), known + len(batch) - len(stored)
            bar.update(None if size is None else end / max(size, end), counted(count, "message"))
        cut = [(name, hub.topic(name).statistics().kept, imported) for name, imported in sorted(topics.items())]
        return count, known, [f"{name} keeps {kept:,} of {made:,} imported" for name, kept, made in cut if kept < made]

    with Bar("importing") as bar:
        count, known, cut = with_hub(url, publish, create=True)
    for notice in cut:
        report(f"{notice}: set its retention first, `hub.retain`, and import it into another database", bad=False)
    there = f", {known:,} {was(known)} there already" if known else ""
    typer.echo(f'{{"messages":{count},"known":{known}}}' if json else f"{counted(count, 'message')}{there}")


def _size(file: typer.FileBinaryRead) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except OSError:  # not a file of the system
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _batches(file: typer.FileBinaryRead) -> Iterator[tuple[list[Message[Any]], int]]:
    """Iterate over batches of messages, each with its end in the file, in bytes."""
    from telex import Message

    batch: list[Message[Any]] = []
    end = 0
    for number, line in enumerate(file, 1):
        end += len(line)
        if not line.strip():
            continue
        try:
            batch.append(Message.from_json(line))
        except ValueError as error:
            if batch:
                yield batch, end
            raise NotAMessage(f"line {number} is not a message: {error}; the lines before it were imported") from None
        if len(batch) == BATCH_MESSAGES:
            yield batch, end
            batch = []
    if batch:
        yield batch, end
