"""`Interest`: the topics and patterns that are followed in this process, and the delivery of their new messages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from telex.engines.contract.groups import Unreadable
from telex.names import Pattern, is_pattern

if TYPE_CHECKING:
    from telex.engines.contract import EngineEvents
    from telex.message import Message

logger: logging.Logger = logging.getLogger("telex")
MAX_CACHED_ANSWERS = 10_000


class Followed:
    """The topics and patterns that are followed at one moment. It may be asked in another thread."""

    def __init__(self, topics: frozenset[str], patterns: tuple[Pattern, ...]) -> None:
        self._topics = topics
        self._patterns = patterns
        self._answers: dict[str, bool] = {}

    def __call__(self, topic: str) -> bool:
        """Return whether the messages of ``topic`` are delivered."""
        if topic in self._topics:
            return True
        if not self._patterns:
            return False
        answer = self._answers.get(topic)
        if answer is None:
            if len(self._answers) >= MAX_CACHED_ANSWERS:
                self._answers.clear()
            self._answers[topic] = answer = any(pattern.matches(topic) for pattern in self._patterns)
        return answer


class Interest:
    """The names that `Store.follow` was called with. Used in the event loop."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._patterns: dict[str, Pattern] = {}
        self._now: Followed | None = None

    def follow(self, name: str) -> None:
        """Note that a topic or pattern is followed."""
        if is_pattern(name):
            self._patterns[name] = Pattern(name)
        else:
            self._topics.add(name)
        self._now = None

    def unfollow(self, name: str) -> None:
        """Note that a topic or pattern is not followed any more."""
        self._patterns.pop(name, None)
        self._topics.discard(name)
        self._now = None

    def has(self, topic: str) -> bool:
        """Return whether the messages of ``topic`` are delivered."""
        return topic in self._topics or (bool(self._patterns) and self.now(topic))

    @property
    def now(self) -> Followed:
        """The names that are followed at this moment; the answer does not change any more."""
        if self._now is None:
            self._now = Followed(frozenset(self._topics), tuple(self._patterns.values()))
        return self._now


def deliver(events: EngineEvents, messages: Sequence[Message[Any]], end: int) -> None:
    """Give the events new messages of one topic, and the gaps between them. ``end`` is the number after the last
    message before these that was delivered, or is in a gap.

    Only for engines whose numbers follow one another in each topic: each hole in the numbers is a gap "trimmed".
    """
    run: list[Message[Any]] = []
    for message in messages:
        damaged = message.content.__class__ is Unreadable
        if run and (damaged or message.seq > end):
            events.deliver(run)
            run = []
        if message.seq > end:
            events.gap(message.topic, message.seq - end, "trimmed")
        end = message.seq + 1
        if not damaged:
            run.append(message)
            continue
        text = "message %d of %s cannot be read, and is skipped: %s (`telex check` lists all damage of the file)"
        logger.error(text, message.seq, message.topic, message.content.problem)
        events.gap(message.topic, 1, "unreadable")
    if run:
        events.deliver(run)
