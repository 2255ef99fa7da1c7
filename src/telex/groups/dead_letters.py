"""`DeadLetters`: publishes copies of dead letters to the dead-letter topic."""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from telex.engines.contract.groups import Delivery
from telex.errors import BadName, BadOption, ContentError, TelexError
from telex.handlers.carrying import carried_of
from telex.handlers.spec import GroupSpec
from telex.message import EXPIRES
from telex.topics.topic import publisher_of

if TYPE_CHECKING:
    from telex.message import Message
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")
MAX_ID_LENGTH = 255
MAX_REASON_LENGTH = 500


class DeadLetters:
    """The dead-letter topic of a group: ``topic`` is its name."""

    def __init__(self, group: GroupSpec, runtime: Runtime) -> None:
        self.topic: str = group.dead_letter or f"dead:{group.name}"
        self._group = group.name
        self._runtime = runtime

    async def publish(self, delivery: Delivery, reason: str) -> bool:
        """Publish the copy of a dead letter. Return false when the engine failed, so that the caller has to try again
        later.
        """
        message, group = delivery.message, self._group
        with carried_of(message):
            logger.warning(
                "message %s of %s is a dead letter of group %s after attempt %d: %s",
                *(message.id, message.topic, group, delivery.attempt, reason),
            )
        if _is_copy(message):
            return True  # two failing groups would copy each other's dead letters without end
        try:
            await publisher_of(self._runtime.topic(self.topic)).publish_held(
                message.content,
                id=_copy_id(group, message.id),
                headers=_headers(group, delivery, reason),
                key=message.key,
            )
        except (BadName, BadOption, ContentError) as error:
            logger.error("the dead letter %s of group %s cannot be published: %s", message.id, group, error)
        except TelexError as error:
            logger.error("the dead letter %s of group %s was not published: %s", message.id, group, error)
            return False
        return True


def _headers(group: str, delivery: Delivery, reason: str) -> dict[str, str]:
    message = delivery.message
    own = {
        "telex-group": group,
        "telex-reason": "".join(c if c.isprintable() else " " for c in reason)[:MAX_REASON_LENGTH],
        "telex-attempts": str(delivery.attempt),
        "telex-topic": message.topic,
        "telex-seq": str(message.seq),
        "telex-id": message.id,
    }
    dropped = {*own, EXPIRES}  # the copy does not expire
    return {name: value for name, value in message.headers.items() if name.lower() not in dropped} | own


def _copy_id(group: str, id: str) -> str:
    """Return the id of the copy of a dead letter: the same id each time, so that the copy is stored once."""
    text = f"{group}:{id}"
    return text if len(text) <= MAX_ID_LENGTH else sha256(text.encode()).hexdigest()


def _is_copy(message: Message[Any]) -> bool:
    headers = message.headers
    return message.id == _copy_id(headers.get("telex-group", ""), headers.get("telex-id", ""))
