"""``telex history``, and reading the messages of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telex import EngineFailed
from telex.cli.exits import Exit
from telex.cli.files import not_found, with_hub
from telex.cli.options import Json, Url
from telex.cli.output import print_line, report

if TYPE_CHECKING:
    from telex import Hub, Message


def history(
    topic: Annotated[str, typer.Argument(help="The topic.")],
    url: Url,
    last: Annotated[int | None, typer.Option("--last", "-n", min=1, help="Print only the newest messages.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then print new messages as they arrive.")] = False,
    json: Json = False,
) -> None:
    """Print the messages that a topic keeps, the oldest first. With --follow it goes on until Ctrl-C.

    \b
    Examples:
      telex history chatroom:lobby --url sqlite:///chat.db
      telex history orders --last 10 --json --url sqlite:///shop.db | jq .content
      telex history orders --last 10 --follow --url sqlite:///shop.db
    """
    start: Any = "earliest" if last is None else last
    damaged: list[str] = []

    async def print_all(hub: Hub) -> None:
        await check_topic_exists(hub, topic)
        if follow:
            return
        async for message in readable(hub.topic(topic).history(start=start), damaged):
            typer.echo(message.to_json().decode()) if json else print_line(line_of(message))

    with_hub(url, print_all)
    if follow:
        from telex.cli.follow_file import follow_file
        from telex.cli.printing import Printer

        Printer(json, None, dated=True).run(follow_file(url, topic, start, None))
    elif damaged:
        raise typer.Exit(Exit.ERROR)


def line_of(message: Message[Any]) -> str:
    """Return a message as one line."""
    from telex.codec.content import to_json

    content = message.content if isinstance(message.content, str) else to_json(message.content).decode()
    return f"{message.timestamp.astimezone():%Y-%m-%d %H:%M:%S}  {message.topic} {message.seq}  {content}"


async def readable(messages: AsyncIterator[Message[Any]], damaged: list[str]) -> AsyncIterator[Message[Any]]:
    """Iterate over the messages that can be read. Report the damaged ones and add their errors to ``damaged``."""
    while True:
        try:
            message = await anext(messages)
        except StopAsyncIteration:
            return
        except EngineFailed as error:
            if damaged and damaged[-1] == str(error):
                raise  # the rest of the file cannot be read
            damaged.append(str(error))
            report(str(error))
        else:
            yield message


async def check_topic_exists(hub: Hub, topic: str) -> None:
    """End the program when there is no topic of this name. A pattern may match nothing."""
    from telex.names import is_pattern

    if not is_pattern(topic) and not await hub.topics(topic):
        raise not_found("topic", topic)
