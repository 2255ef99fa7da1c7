"""`CommandTable`: the commands that one hub serves."""

from __future__ import annotations

from typing import Any

import msgspec

from telex.commands.outcome import Outcome
from telex.commands.server import CommandServer
from telex.commands.spec import check_command
from telex.errors import BadOption, ContentError
from telex.message import check_key


class CommandTable:
    """The servers of a hub's commands, by name."""

    def __init__(self) -> None:
        self.servers: dict[str, CommandServer] = {}

    def add(self, server: CommandServer) -> None:
        """Add a server. Raises `BadOption` when its name is taken."""
        name = server.command.name
        other = self.servers.get(name)
        if other is not None:
            function = other.command.function
            raise BadOption(
                "command",
                name,
                f"{getattr(function, '__qualname__', function)} carries it out already; a command has one handler, "
                "and more programs that declare it share the work",
            )
        self.servers[name] = server

    def check(self, name: str, content: object, key: str | None, digest: str = "") -> tuple[object, str]:
        """Return the content as the handler takes it, and its fingerprint. When this hub does not serve the command,
        return the content unchanged, and no fingerprint. ``digest`` is the digest of content that another hub has sent.

        Raises `ContentError`, `BadOption`, `BadName`.
        """
        server = self.servers.get(name)
        if server is not None:
            return server.check(content, key, digest)
        check_command(name)
        check_key(key)
        return content, ""

    def decoded(self, outcome: Outcome[Any]) -> Outcome[Any]:
        """Return an outcome of another process with its result converted to the annotated type of the handler here. A
        result that does not fit stays plain data.
        """
        server = self.servers.get(outcome.command)
        if server is None or server.command.gives is None or outcome.error is not None:
            return outcome
        try:
            result = server.command.gives.decode(outcome.result, outcome.command)
        except ContentError:
            return outcome
        return msgspec.structs.replace(outcome, result=result)
