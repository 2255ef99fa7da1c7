"""The recorded history of a round on PostgreSQL, and a checker of it.

A process appends one JSON array a line to a file of its own: first its kind, last the time.

acknowledged topic text               a publish returned
entered subscriber topic              a subscription was entered
received subscriber topic text position
lost subscriber lost                  a `telex.Lost` was received
handled text                          a handler of the plain group was called
outcome key result                    a sender got the outcome of a command
unanswered key error                  a sender got another outcome, or none in time
failed text error                     the server was away: it is not known what became of a publish or a command
committed text, rolled text           the transaction of an outbox writer was committed, or rolled back
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

from telex.names import Pattern, is_pattern

ROUNDING = 0.001
"""Seconds by which the instants of a timer may differ from its period."""


class Notes:
    """Appends lines to a file. One call of the system writes a line, so it is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *words: str) -> None:
        os.write(self._file, msgspec.json.encode((*words, f"{time.time():.3f}")) + b"\n")


class Reception(msgspec.Struct):
    """The messages of one topic that one subscriber received without interruption, or with recovery by position."""

    subscriber: str
    topic: str
    texts: list[str]
    from_start: bool = True
    """True if the subscription was there before the first message."""
    to_end: bool = True
    """True if the subscription was there after the last message."""


class Firing(msgspec.Struct):
    """One kept message of a timer."""

    number: int
    instant: float


class Timer(msgspec.Struct):
    """The kept messages of one timer, and its period in seconds. With ``complete`` no instant may be missing."""

    name: str
    period: float
    complete: bool
    firings: list[Firing]


class History(msgspec.Struct):
    """One round. A text is a publisher and a number: ``publisher1.3.0 17``."""

    acknowledged: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """By topic."""
    kept: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """The texts that the server has at the end, by topic."""
    receptions: list[Reception] = msgspec.field(default_factory=list)
    lost: list[str] = msgspec.field(default_factory=list)
    handled: list[str] = msgspec.field(default_factory=list)
    effects: list[str] = msgspec.field(default_factory=list)
    """The rows that handlers with ``tx=True`` wrote."""
    bills: list[str] = msgspec.field(default_factory=list)
    """The messages that they published in the same transactions."""
    outcomes: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """The results that senders got, by key."""
    unanswered: list[str] = msgspec.field(default_factory=list)
    charges: list[str] = msgspec.field(default_factory=list)
    """The keys of the rows that the command wrote."""
    timers: list[Timer] = msgspec.field(default_factory=list)
    committed: list[str] = msgspec.field(default_factory=list)
    rolled_back: list[str] = msgspec.field(default_factory=list)
    rows: list[str] = msgspec.field(default_factory=list)
    """The rows of the outbox writer's transactions that the server has: the truth about an unknown commit."""
    invoices: list[str] = msgspec.field(default_factory=list)
    """The messages that were published through the outbox."""


def read(folder: Path, history: History) -> None:
    """Add the lines of all processes to ``history``."""
    for path in sorted(folder.glob("*.jsonl")):
        receptions: dict[tuple[str, str], Reception] = {}
        for line in path.read_bytes().splitlines():
            kind, *words, _ = msgspec.json.decode(line, type=list[str])
            if kind == "received":
                subscriber, topic, text, _ = words
                receptions[subscriber, topic].texts.append(text)
            elif kind == "entered":
                _enter(history, receptions, *words)
            else:
                _add(history, kind, words)
        history.receptions += receptions.values()


def _enter(history: History, receptions: dict[tuple[str, str], Reception], subscriber: str, topic: str) -> None:
    """Begin to receive, or go on by position. The log of a pattern has no position that outlives a process."""
    if not is_pattern(topic):
        receptions.setdefault((subscriber, topic), Reception(subscriber, topic, []))
        return
    for matching in filter(Pattern(topic).matches, history.kept):
        before = receptions.get((subscriber, matching))
        if before is not None:
            before.to_end = False
            history.receptions.append(before)
        receptions[subscriber, matching] = Reception(subscriber, matching, [], from_start=before is None)


def _add(history: History, kind: str, words: list[str]) -> None:
    match kind, words:
        case "acknowledged", [topic, text]:
            history.acknowledged.setdefault(topic, []).append(text)
        case "outcome", [key, result]:
            history.outcomes.setdefault(key, []).append(result)
        case "lost", _:
            history.lost.append(" ".join(words))
        case "unanswered", _:
            history.unanswered.append(" ".join(words))
        case "handled", [text]:
            history.handled.append(text)
        case "committed", [text]:
            history.committed.append(text)
        case "rolled", [text]:
            history.rolled_back.append(text)


def problems(history: History) -> list[str]:
    """Return all that breaks a promise, in words."""
    return [
        *_logs(history),
        *_receptions(history),
        *_groups(history),
        *_commands(history),
        *(problem for timer in history.timers for problem in _timer(timer)),
        *_outbox(history),
    ]


def _logs(history: History) -> Iterator[str]:
    """Each acknowledged message is kept once, in the order of its publisher."""
    for topic, kept in history.kept.items():
        yield from _twice(f"{topic} keeps", kept)
        yield from _disorder(f"{topic} keeps", kept)
    for topic, texts in history.acknowledged.items():
        yield from _twice(f"{topic} acknowledged", texts)
        yield from _missing(f"{topic} has lost", texts, history.kept.get(topic, []))


def _receptions(history: History) -> Iterator[str]:
    """A subscriber received what the topic keeps, once and in order, without a hole."""
    yield from (f"a subscriber was told of a loss: {lost}" for lost in history.lost)
    for reception in history.receptions:
        kept, texts = history.kept.get(reception.topic, []), reception.texts
        who = f"{reception.subscriber} on {reception.topic}"
        places = {text: place for place, text in enumerate(kept)}
        found = [places[text] for text in texts if text in places]
        if not texts and not reception.from_start:
            # Killed again too soon. At the end of a round publishers go on until the last life has to receive some.
            yield from (f"{who} received nothing in its last life" for _ in kept[-1:] if reception.to_end)
            continue
        start = 0 if reception.from_start else min(found, default=0)
        end = len(kept) if reception.to_end else max(found, default=-1) + 1
        yield from _twice(f"{who} received", texts)
        yield from _disorder(f"{who} received", texts)
        yield from _missing(f"{who} has lost", kept[start:end], texts)
        yield from _missing(f"{who} received what is not kept:", texts, kept)
        if found != sorted(found):
            yield f"{who} received messages in another order than the topic keeps them"


def _groups(history: History) -> Iterator[str]:
    """The plain group handled all; handlers with ``tx=True`` have had their effects exactly once."""
    kept = [text for topic in history.acknowledged for text in history.kept.get(topic, [])]
    yield from _missing("the plain group has not handled", kept, history.handled)
    for what, found in (("row", history.effects), ("bill", history.bills)):
        yield from _twice(f"effects, a {what}:", found)
        yield from _missing(f"effects, no {what} for", kept, found)
        yield from _missing(f"effects, a {what} for what is not kept:", found, kept)


def _commands(history: History) -> Iterator[str]:
    """Each key has one outcome and one effect."""
    yield from (f"a sender got no result: {text}" for text in history.unanswered)
    for key, results in history.outcomes.items():
        if len(set(results)) > 1:
            yield f"{key} has {len(set(results))} outcomes: {sorted(set(results))}"
    yield from _twice("charges:", history.charges)
    yield from _missing("not charged:", history.outcomes, history.charges)


def _timer(timer: Timer) -> Iterator[str]:
    """Each instant is fired once; with ``complete`` none is missing."""
    if not timer.firings:
        yield f"{timer.name} has not fired"
    for before, after in pairwise(timer.firings):
        distance = (after.instant - before.instant) / timer.period
        if after.number != before.number + 1:
            yield f"{timer.name}: firing {after.number} follows {before.number}"
        if distance < ROUNDING:
            yield f"{timer.name}: firing {after.number} is not later than the one before"
        if abs(distance - round(distance)) * timer.period > ROUNDING:
            yield f"{timer.name}: firing {after.number} is of no instant of the schedule"
        if timer.complete and round(distance) > 1:
            yield f"{timer.name}: {round(distance) - 1} instants are missing before firing {after.number}"


def _outbox(history: History) -> Iterator[str]:
    """The rows and the messages of the outbox writer's transactions are the same, and nothing was rolled back."""
    yield from _twice("the outbox published", history.invoices)
    yield from _disorder("the outbox published", history.invoices)
    yield from _missing("committed, and not in the table:", history.committed, history.rows)
    yield from _missing("the outbox has lost", history.rows, history.invoices)
    yield from _missing("the outbox published what was not committed:", history.invoices, history.rows)
    for text in sorted(set(history.rolled_back) & {*history.invoices, *history.rows}):
        yield f"of a transaction that was rolled back: {text}"


def _twice(what: str, texts: Iterable[str]) -> Iterator[str]:
    for text, times in Counter(texts).items():
        if times > 1:
            yield f"{what} {text} {times} times"


def _missing(what: str, wanted: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    there = set(found)
    yield from (f"{what} {text}" for text in wanted if text not in there)


def _disorder(what: str, texts: Iterable[str]) -> Iterator[str]:
    last: dict[str, int] = defaultdict(lambda: -1)
    for text in texts:
        publisher, number = text.split(" ")
        if int(number) < last[publisher]:
            yield f"{what} {text} after number {last[publisher]}"
        last[publisher] = int(number)
