"""The machine keeps its promises in every order of events, and the search finds machines that do not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from telex.once.machine import LeaseObservation
from tests.unit.once.model import SAFETY, Found, Model, Property, mutants, search

FULL = os.environ.get("TELEX_CONFORMANCE") == "full"
"""Whether the search of the whole model runs too. It takes 20 s; the two others together make every move of it."""
PAGE = (Path(__file__).parents[3] / "docs" / "once.md").read_text()
RETENTION = Model(workers=2, faults=1, keep=2)
DONE = {
    *("picks it up", "reads", "waits", "answers from the record", "is fenced"),
    *("crashes", "stalls", "goes on", "a tick passes"),
    *(f"claims: {why}" for why in ("created", "taken_over", "retried", "renewed", "exhausted", "refused")),
    *("renews: renewed", "completes: done", "fails for good: failed", "fails: released", "fails: exhausted"),
    "is closed: released",
    *("renews: refused", "completes: refused", "fails for good: refused", "fails: refused"),
    *("completes: done, and does not hear of it", "claims: created, and does not hear of it"),
}
LATE = {f"the store gets what was under way: {why}" for why in ("created", "taken_over", "renewed", "released", "done")}
"""What has to have been done in a search that says something."""
BROKEN: dict[str, Property] = {
    "the write does not compare": "in time",
    "the write does not compare: outcomes": "one outcome",
    "the owner is not asked for": "fenced",
    "leases are told by wall clocks": "in time",
}


def on_the_page(name: str, found: Found) -> bool:
    return f"| {name} | {found.worlds:,} | {found.moves:,} | {found.depth} |" in PAGE


@pytest.mark.slow
def test_the_machine_keeps_its_promises() -> None:
    found = search(Model(deliveries=1, late=True))
    assert not found.broken, "\n".join(found.trace)
    assert found.done >= DONE | LATE | {"is closed: refused", "tries again to close: released"}
    assert on_the_page("3 workers, 1 delivery, 2 faults", found), found


@pytest.mark.slow
@pytest.mark.parametrize("faults", [1, 2] if FULL else [1])
def test_the_machine_keeps_its_promises_with_duplicates(faults: int) -> None:
    found = search(Model(faults=faults, late=True))
    assert not found.broken, "\n".join(found.trace)
    assert found.done >= DONE
    assert on_the_page(f"3 workers, 2 deliveries, {faults} fault{'s' * (faults > 1)}", found), found


@pytest.mark.slow
def test_the_machine_keeps_its_promises_past_the_retention() -> None:
    found = search(RETENTION)
    assert not found.broken, "\n".join(found.trace)
    assert found.done >= DONE | {"the store removes the record"}
    assert on_the_page("2 workers, 2 deliveries, 1 fault, retention of 2 ticks", found), found


@pytest.mark.slow
@pytest.mark.parametrize("name", mutants())
def test_a_broken_machine_is_found(name: str) -> None:
    model, properties = mutants()[name]
    found = search(model, properties, alike=False)
    assert found.broken == BROKEN[name]
    assert len(found.trace) == found.depth
    assert "```text\n" + "\n".join(found.trace) + "\n```" in PAGE, "the page shows another trace"


@pytest.mark.slow
def test_clocks_that_are_wrong_break_no_outcome() -> None:
    """The fence and the compare-and-set protect what is recorded even then: the handler runs more than it has to."""
    model = Model(faults=0, wall=True)
    found = search(model, SAFETY - {"in time", "one at a time"}, alike=False)
    assert not found.broken, "\n".join(found.trace)
    assert "claims: taken_over" in found.done


@pytest.mark.slow
def test_a_lease_that_ends_at_its_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who renews at the last moment would lose it."""
    monkeypatch.setattr(LeaseObservation, "lapsed", lambda self, lease, now: now - self.since >= lease)
    found = search(Model(faults=0), alike=False)
    assert found.broken == "in time"
    assert found.trace[-1] == "B claims: taken_over"


@pytest.mark.slow
def test_a_lease_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a worker has died, nobody would ever have an answer."""
    monkeypatch.setattr(LeaseObservation, "lapsed", lambda self, lease, now: False)
    found = search(Model(workers=2, faults=1), alike=False)
    assert found.broken == "an end"
    assert re.search(r"claims: created( A stalls| A crashes)", " ".join(found.trace)), found.trace


@pytest.mark.slow
def test_worlds_that_count_as_one_are_alike() -> None:
    """Told apart they are more, and lead to the same."""
    model = Model(workers=2, faults=1, late=True)
    alike, apart = search(model), search(model, alike=False)
    assert (alike.broken, alike.depth, alike.done) == (apart.broken, apart.depth, apart.done)
    assert alike.worlds < apart.worlds <= 2 * alike.worlds


def test_a_search_is_the_same_each_time() -> None:
    model = Model(workers=2, faults=0)
    assert search(model) == search(model)
