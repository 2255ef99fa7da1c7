"""Every edge of the machine, in one table; the page docs/once.md shows the same table, and it is what `step` does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from telex.once.machine import (
    EXHAUSTED,
    Answer,
    Claim,
    Complete,
    Decision,
    Entry,
    Event,
    Fail,
    Failure,
    GiveBack,
    LeaseObservation,
    Renew,
    State,
    Write,
    decode,
    encode,
    fingerprint,
    step,
    watch,
)
from tests.support.contents import CARRIED

PAGE = Path(__file__).parents[3] / "docs" / "once.md"
NOW = 1_800_000_000.0
KEEP = 60.0
SAME, OTHER = "same content", "other content"
OWN, ANOTHER = "own", "another"
REFUSED = Failure("Refused", "refused", "the card was refused", {"card": 17})
BROKEN = Failure("OSError", "unexpected", "the line is dead", final=False)
RESULT = msgspec.Raw(b'{"page":1}')
# Expiring a moment later is not expired; at its time it is.
LATER = NOW + 0.001

TABLE = """
| recorded                          | claim     | claim, lapsed | claim, other content | renew   | complete | fail   | fail, not final | closed   |
| --------------------------------- | --------- | ------------- | -------------------- | ------- | -------- | ------ | --------------- | -------- |
| nothing                           | created   | created       | created              | fenced  | fenced   | fenced | fenced          | fenced   |
| running, own                      | renewed   | renewed       | conflict             | renewed | done     | failed | released        | released |
| running, own, last attempt        | renewed   | renewed       | conflict             | renewed | done     | failed | exhausted       | released |
| running, another's                | wait      | taken_over    | conflict             | fenced  | fenced   | fenced | fenced          | fenced   |
| running, another's, last attempt  | wait      | exhausted     | conflict             | fenced  | fenced   | fenced | fenced          | fenced   |
| released                          | retried   | retried       | conflict             | fenced  | fenced   | fenced | fenced          | fenced   |
| released, last attempt            | exhausted | exhausted     | conflict             | fenced  | fenced   | fenced | fenced          | fenced   |
| done                              | replay    | replay        | conflict             | fenced  | fenced   | fenced | fenced          | fenced   |
| failed                            | replay    | replay        | conflict             | fenced  | fenced   | fenced | fenced          | fenced   |
| done or failed, expired           | created   | created       | created              | fenced  | fenced   | fenced | fenced          | fenced   |
"""  # noqa: E501
Edges = dict[tuple[str, str], str]


def parse(text: str) -> Edges:
    """What each cell of a table says, by its row and column."""
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    columns = rows[0][1:]
    return {(row[0], column): cell for row in rows[2:] for column, cell in zip(columns, row[1:], strict=True)}


def entry(state: State, attempt: int = 1, owner: str = OWN, expires: float = 0.0, spared: int = 0) -> Entry:
    ended = state in ("done", "failed")
    return Entry(
        state,
        SAME,
        attempt,
        owner,
        30.0,
        RESULT if state == "done" else msgspec.UNSET,
        "",
        REFUSED if state == "failed" else BROKEN if state == "released" else None,
        NOW - 1 if ended else 0.0,
        expires,
        spared,
    )


def both(state: State, attempt: int = 1, expires: float = 0.0, spared: int = 0) -> list[Entry | None]:
    return [entry(state, attempt, owner, expires, spared) for owner in (OWN, ANOTHER)]


RECORDED: dict[str, list[Entry | None]] = {
    "nothing": [None],
    "running, own": [entry("running", 1), entry("running", 2), entry("running", 5, spared=3)],
    "running, own, last attempt": [entry("running", 3), entry("running", 4), entry("running", 4, spared=1)],
    "running, another's": [entry("running", 1, ANOTHER), entry("running", 2, ANOTHER)],
    "running, another's, last attempt": [entry("running", 3, ANOTHER), entry("running", 4, ANOTHER)],
    "released": both("released", 1) + both("released", 2) + both("released", 3, spared=1),
    "released, last attempt": both("released", 3),
    "done": both("done", 1, LATER) + both("done", 3, LATER),
    "failed": both("failed", 1, LATER) + both("failed", 3, LATER),
    "done or failed, expired": both("done", 1, NOW) + both("failed", 3, NOW) + both("done", 3, NOW - 1),
}
"""Every record that a row stands for."""


def claim(content: str = SAME, lapsed: bool = False) -> Claim:
    return Claim(content, OWN, 20.0, 3, KEEP, lapsed)


EVENTS: dict[str, list[Event]] = {
    "claim": [claim()],
    "claim, lapsed": [claim(lapsed=True)],
    "claim, other content": [claim(OTHER), claim(OTHER, lapsed=True)],
    "renew": [Renew(OWN)],
    "complete": [Complete(OWN, RESULT, KEEP), Complete(OWN, msgspec.UNSET, KEEP, "object-1")],
    "fail": [Fail(OWN, REFUSED, KEEP, 3)],
    "fail, not final": [Fail(OWN, BROKEN, KEEP, 3)],
    "closed": [GiveBack(OWN)],
}
"""Every event that a column stands for."""


def name(decision: Decision) -> str:
    return decision.why if isinstance(decision, Write) else decision.value


EDGES = [
    (f"{row}-{column}-{number}", recorded, event, outcome)
    for (row, column), outcome in parse(TABLE).items()
    for number, (recorded, event) in enumerate((record, event) for record in RECORDED[row] for event in EVENTS[column])
]


def test_every_edge() -> None:
    for edge, recorded, event, outcome in EDGES:
        decision = step(recorded, event, NOW)
        assert name(decision) == outcome, edge
        if isinstance(decision, Write):
            assert decision.entry == written(outcome, recorded, event), edge
            assert decode(encode(decision.entry)) == decision.entry, edge


def written(outcome: str, recorded: Entry | None, event: Event) -> Entry:
    """What has to be recorded."""
    if outcome == "created":
        return Entry("running", event.fingerprint if isinstance(event, Claim) else "", 1, OWN, 20.0)
    assert recorded is not None
    begun, spared = recorded.attempt, recorded.spared
    if outcome in ("taken_over", "retried"):
        return Entry("running", SAME, begun + 1, OWN, 20.0, error=recorded.error, spared=spared)
    if outcome == "renewed":
        return recorded
    if outcome == "released":
        if isinstance(event, GiveBack):
            return Entry("released", SAME, begun, OWN, 30.0, error=recorded.error, spared=spared + 1)
        return Entry("released", SAME, begun, OWN, 30.0, error=BROKEN, spared=spared)
    error: Failure | None = None
    if outcome == "exhausted":
        last = recorded.error if isinstance(event, Claim) else BROKEN
        said = "its workers died or stalled" if last is None else f"the last error was {last.type}: {last.message}"
        kind = "AttemptsExhausted" if last is None else last.type
        error = Failure(kind, EXHAUSTED, f"it was begun {begun} time{'s' * (begun > 1)}, and {said}")
    elif isinstance(event, Fail):
        error = event.error
    result, ref = (event.result, event.ref) if isinstance(event, Complete) else (msgspec.UNSET, "")
    state: State = "done" if outcome == "done" else "failed"
    return Entry(state, SAME, begun, recorded.owner, 30.0, result, ref, error, NOW, NOW + KEEP, spared)


def test_the_table_has_every_record_and_event() -> None:
    assert set(parse(TABLE)) == {(row, column) for row in RECORDED for column in EVENTS}
    whys = get_args(get_type_hints(Write)["why"])
    assert set(parse(TABLE).values()) == {*whys, *(answer.value for answer in Answer)}


def test_the_page_shows_what_the_machine_does() -> None:
    shown = parse(re.findall(r"^\| recorded .*?\n\n", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0])
    does: dict[tuple[str, str], set[str]] = {
        (row, column): {name(step(record, event, NOW)) for record in records for event in events}
        for row, records in RECORDED.items()
        for column, events in EVENTS.items()
    }
    assert {edge: {cell} for edge, cell in shown.items()} == does


def test_an_error_is_kept_through_the_attempts_and_told_when_they_are_gone() -> None:
    now, record = NOW, entry("running", 1)
    for attempt in (2, 3):
        released = step(record, Fail(OWN, BROKEN, KEEP, 3), now)
        assert isinstance(released, Write)
        again = step(released.entry, claim(), now)
        assert isinstance(again, Write)
        record = again.entry
        assert (record.attempt, record.error) == (attempt, BROKEN)
    dead = step(record, Claim(SAME, ANOTHER, 20.0, 3, KEEP, lapsed=True), now)
    assert isinstance(dead, Write)
    assert dead.entry.error is not None
    assert dead.entry.error.final
    assert dead.entry.error.message == "it was begun 3 times, and the last error was OSError: the line is dead"


def test_renewing_changes_nothing_but_the_revision() -> None:
    running = entry("running", 2)
    decision = step(running, Renew(OWN), NOW + 1_000_000)
    assert decision == Write(running, "renewed")


# -- whether who runs it is dead


def test_a_watch_goes_on_while_the_revision_stands() -> None:
    first = watch(None, 7, 100.0)
    assert first == LeaseObservation(7, 100.0)
    assert watch(first, 7, 109.0) is first
    assert watch(first, 8, 109.0) == LeaseObservation(8, 109.0)


def test_a_lease_lapses_after_it_and_not_at_its_end() -> None:
    watched = watch(None, 7, 100.0)
    assert not watched.lapsed(10.0, 100.0)
    assert not watched.lapsed(10.0, 110.0)
    assert watched.lapsed(10.0, 110.5)


@given(
    lease=st.integers(1, 100),
    clock=st.integers(-(2**40), 2**40),
    reads=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=30),
)
def test_a_lease_lapses_only_when_nothing_changed_for_longer(
    lease: int, clock: int, reads: list[tuple[int, bool]]
) -> None:
    """Whatever the waiter's clock shows, and however seldom it looks."""
    watched, revision, now, changed = watch(None, 1, clock), 1, 0, 0
    for pause, renewed in reads:
        now += pause
        if renewed:
            revision, changed = revision + 1, now
        watched = watch(watched, revision, clock + now)
        assert watched.lapsed(lease, clock + now) == (now - changed > lease)


# -- what is the same command

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def shuffled(content: Any) -> Any:
    """The same, with the keys of every dict in the opposite order."""
    if isinstance(content, dict):
        return {key: shuffled(value) for key, value in reversed(content.items())}
    if isinstance(content, list):
        return [shuffled(value) for value in content]
    return content


@pytest.mark.slow
@given(JSON)
def test_equal_content_has_the_same_fingerprint(content: Any) -> None:
    assert fingerprint("print", 1, shuffled(content)) == fingerprint("print", 1, content)
    assert fingerprint("print", 1, msgspec.json.decode(msgspec.json.encode(content))) == fingerprint(
        "print", 1, content
    )


@pytest.mark.slow
@given(st.tuples(st.text(), st.integers(0, 99), JSON), st.tuples(st.text(), st.integers(0, 99), JSON))
def test_other_commands_have_other_fingerprints(one: tuple[str, int, Any], other: tuple[str, int, Any]) -> None:
    # Text tells 1 from True and from 1.0, as JSON does; Python does not.
    alike = one[:2] == other[:2] and msgspec.json.encode(one[2], order="sorted") == msgspec.json.encode(
        other[2], order="sorted"
    )
    assert (fingerprint(*one) == fingerprint(*other)) == alike


@pytest.mark.slow
@given(JSON)
def test_name_version_and_content_count(content: Any) -> None:
    own = fingerprint("print", 1, content)
    assert fingerprint("print2", 1, content) != own
    assert fingerprint("print", 2, content) != own
    assert fingerprint("print", 1, [content]) != own
    assert fingerprint("print", 1, {"content": content}) != own


class Order(msgspec.Struct):
    number: int
    card: str = ""


class Model(BaseModel):
    card: str = ""
    number: int


def test_the_form_of_the_content_does_not_count() -> None:
    plain = {"number": 3, "card": "a"}
    assert fingerprint("buy", 1, Order(3, "a")) == fingerprint("buy", 1, plain)
    assert fingerprint("buy", 1, Model(number=3, card="a")) == fingerprint("buy", 1, plain)
    assert fingerprint("buy", 1, {"at": {"x", "y", "z"}}) == fingerprint("buy", 1, {"at": {"z", "y", "x"}})


def test_keys_need_not_be_text() -> None:
    assert fingerprint("buy", 1, {9: 1, 10: 2}) == fingerprint("buy", 1, {10: 2, 9: 1})
    assert fingerprint("buy", 1, {9: 1, 10: 2}) == fingerprint("buy", 1, {"9": 1, "10": 2})
    assert fingerprint("buy", 1, [{date(2026, 1, 2): {"b": 1, "a": {3, 1}}}]) == fingerprint(
        "buy", 1, [{"2026-01-02": {"a": [1, 3], "b": 1}}]
    )


def test_content_without_a_json_form_has_no_fingerprint() -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        fingerprint("print", 1, object())


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"no", b'{"state":"asleep"}', encode(entry("done"))[:-1]])
def test_bytes_that_are_no_record_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(value)


def test_a_record_is_small_json() -> None:
    decision = step(None, claim(), NOW)
    assert isinstance(decision, Write)
    begun = b'{"state":"running","fingerprint":"same content","attempt":1,"owner":"own","lease":20.0}'
    assert encode(decision.entry) == begun
    assert decode(begun) == decision.entry


PRINTED = """
from telex.once.machine import fingerprint
from tests.support.contents import CARRIED
print([fingerprint("pay", 1, value) for _, _, value in CARRIED])
mixed = {"b": {1, "one", (1, 2), None, b"x"}, "a": {"x", "y", "z"}, 3: frozenset({"q", "r", "s"})}
print(fingerprint("pay", 1, mixed))
"""


@pytest.mark.slow
def test_fingerprints_are_the_same_in_every_process() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PRINTED]
    found = [
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "7")
    ]
    assert len(set(found)) == 1
    own = [fingerprint("pay", 1, value) for _, _, value in CARRIED]
    assert found[0].startswith(str(own))
    assert len(set(own)) == len({json.dumps(mark) for mark in own}) >= len(CARRIED) - 8
