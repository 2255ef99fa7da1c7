"""Commands that clients send by the frame ``call``, and the errors of commands for clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telex.commands.outcome import UNSENDABLE
from telex.errors import BadName, BadOption, CommandFailed, ContentError, InProgress, KeyConflict, NoHandler
from telex.gateway.errors import Refused, refusal_for
from telex.once.machine import EXHAUSTED

if TYPE_CHECKING:
    from telex.hub import Hub

FAILED = "the command failed because of a fault of the server; the cause is in the log of the server"
NOT_KEPT = "the server cannot store records at the moment; the command has not begun, send it again"
HIDDEN = {"error": FAILED, UNSENDABLE: FAILED, EXHAUSTED: FAILED, "store_unavailable": NOT_KEPT}
"""By failure code, the text for clients in place of an internal error text."""


async def call_command(hub: Hub, name: str, content: object, key: str | None) -> object:
    """Send a command for a client and return its result. Raises `Refused`, with a code of the table in
    `telex.gateway.protocol`."""
    try:
        return await hub.call(name, content, key=key, duplicate="reject")
    except CommandFailed as failed:
        text, data = failure_for_client(failed.type, failed.code, failed.message, failed.data)
        raise Refused("command_failed", text, None, data | {"attempt": failed.attempt}) from None
    except NoHandler:
        raise Refused("unknown_call", f"no worker serves a call {name[:80]!r}, or no rule allows it") from None
    except KeyConflict as error:
        raise Refused("key_conflict", str(error)) from None
    except InProgress as error:
        raise Refused("in_progress", str(error), 1.0) from None
    except (ContentError, BadName, BadOption) as error:
        if isinstance(error, BadOption) and error.option == "key" and error.value is None:
            problem = f"{name!r} runs once per key: give the key in the field 'key'"
            raise Refused("bad_option", problem) from None
        raise refusal_for(error) from None


def failure_for_client(type: str, code: str, message: str, data: object) -> tuple[str, dict[str, object]]:
    """Return the text and the data of a failure for a client.

    The text and the class of an unexpected exception stay on the server: they may hold paths, SQL or addresses with
    passwords.
    """
    if code in HIDDEN:
        return HIDDEN[code], {"code": code, "raised": "Error"}
    return message or type, {"code": code, "raised": type, "data": data}
