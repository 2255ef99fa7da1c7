"""Commands on behalf of a client: what the frame ``call`` sends, and what a client is told of a command that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telex.commands.outcome import UNSENDABLE
from telex.errors import BadName, BadOption, CommandFailed, ContentError, InProgress, KeyConflict, NoHandler
from telex.gateway.errors import Refused, mistaken
from telex.once.machine import EXHAUSTED

if TYPE_CHECKING:
    from telex.hub import Hub

FAILED = "the command failed, for a reason that is the server's; its log says why"
NOT_KEPT = "the server cannot keep records at the moment; nothing was begun, send it again"
UNMEANT = {"error": FAILED, UNSENDABLE: FAILED, EXHAUSTED: FAILED, "store_unavailable": NOT_KEPT}
"""What a client is told instead of a text that no handler wrote for clients, by the code of the failure."""


async def call_command(hub: Hub, name: str, content: object, key: str | None) -> object:
    """The result of a command that a client sends. Raises `Refused` when there is none, with a code of the table in
    `telex.gateway.protocol`."""
    try:
        return await hub.call(name, content, key=key, duplicate="reject")
    except CommandFailed as failed:
        text, data = told(failed.type, failed.code, failed.message, failed.data)
        raise Refused("command_failed", text, None, data | {"attempt": failed.attempt}) from None
    except NoHandler:
        raise Refused("unknown_call", f"nobody serves a call {name[:80]!r} here") from None
    except KeyConflict as error:
        raise Refused("key_conflict", str(error)) from None
    except InProgress as error:
        raise Refused("in_progress", str(error), 1.0) from None
    except (ContentError, BadName, BadOption) as error:
        if isinstance(error, BadOption) and error.option == "key" and error.value is None:
            problem = f"{name!r} runs once for each key: say in the field 'key' which one this is"
            raise Refused("bad_option", problem) from None
        raise mistaken(error) from None


def told(type: str, code: str, message: str, data: object) -> tuple[str, dict[str, object]]:
    """What a client is told of a failure: text for people, and what programs need.

    The text and the class of an exception that a handler did not mean to raise stay on the server: they may hold
    paths, SQL or addresses with passwords.
    """
    if code in UNMEANT:
        return UNMEANT[code], {"code": code, "raised": "Error"}
    return message or type, {"code": code, "raised": type, "data": data}
