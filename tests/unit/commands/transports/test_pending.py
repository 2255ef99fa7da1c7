"""The keys that a hub has sent and that are in progress; and the keys of others that it has found running."""

from datetime import UTC, datetime

import pytest

from telex.commands.outcome import Outcome
from telex.commands.transports import pending
from telex.commands.transports.pending import MAX_KEYS, PendingRequest, PendingRequests, Sightings
from telex.errors import InProgress
from telex.once.machine import Entry


def outcome(id: str, key: str | None = "k", command: str = "build") -> Outcome[object]:
    return Outcome(command, id, key, None, None, 1, datetime.now(UTC))


@pytest.mark.parametrize(
    ("name", "key", "content", "now", "found"),
    [
        ("build", "k", "print", 9.0, True),
        ("build", "k", "print", 10.0, True),
        ("build", "k", "print", 10.1, False),
        ("build", "k", "other", 9.0, False),
        ("build", "j", "print", 9.0, False),
        ("other", "k", "print", 9.0, False),
    ],
)
def test_a_sent_command_is_in_progress_until_its_deadline(
    name: str, key: str, content: str, now: float, found: bool
) -> None:
    requests = PendingRequests()
    requests.begin("build", "k", PendingRequest("print", 10.0))
    assert requests.has(name, key, content, now) is found


def test_a_command_without_a_deadline_stays_in_progress() -> None:
    requests = PendingRequests()
    requests.begin("build", "k", PendingRequest("print", None))
    assert requests.has("build", "k", "print", 1e12)


def test_its_outcome_ends_a_command_and_no_other_of_its_key() -> None:
    requests = PendingRequests()
    first, second = PendingRequest("print", 1.0, "1"), PendingRequest("print", None, "2")
    for sent in (first, second):
        requests.begin("build", "k", sent)
    requests.settle(outcome("3"))
    requests.settle(outcome("1", key=None))
    requests.settle(outcome("1", command="other"))
    assert requests.by_key["build", "k"] == [first, second]
    requests.settle(outcome("1"))
    assert requests.by_key["build", "k"] == [second]
    requests.settle(outcome("2"))
    assert not requests.by_key


def test_a_command_that_was_not_sent_is_taken_back() -> None:
    requests = PendingRequests()
    sent, other = PendingRequest("print", None), PendingRequest("print", None)
    requests.begin("build", "k", sent)
    requests.begin("build", "k", other)
    requests.end("build", "k", sent)
    assert requests.by_key["build", "k"] == [other], "equal requests are two"
    requests.end("build", "k", other)
    requests.end("build", "k", other)
    assert not requests.by_key


def test_the_oldest_keys_are_forgotten() -> None:
    requests = PendingRequests()
    for number in range(MAX_KEYS + 1):
        requests.begin("build", str(number), PendingRequest("print", None))
    assert len(requests.by_key) == MAX_KEYS
    assert not requests.has("build", "0", "print", 0.0)
    assert requests.has("build", "1", "print", 0.0)


def test_after_lost_outcomes_no_key_is_in_progress() -> None:
    requests = PendingRequests()
    requests.begin("build", "k", PendingRequest("print", None))
    requests.clear()
    assert not requests.has("build", "k", "print", 0.0)


RUNNING = Entry("running", "print", 1, "worker", 30.0)


class Monotonic:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    clock = Monotonic()
    monkeypatch.setattr(pending, "monotonic", clock)
    return clock


def test_a_running_key_is_in_progress_until_its_lease_has_run_out_unrenewed(clock: Monotonic) -> None:
    sightings = Sightings()
    for clock.now, revision in ((0.0, 1), (29.0, 1), (31.0, 2), (60.0, 2)):
        with pytest.raises(InProgress) as raised:
            sightings.check("build", "k", RUNNING, revision)
        assert (raised.value.command, raised.value.key) == ("build", "k")
    clock.now = 62.0
    sightings.check("build", "k", RUNNING, 2)  # 31 seconds after the new revision was seen first


def test_each_key_is_seen_by_itself(clock: Monotonic) -> None:
    sightings = Sightings()
    with pytest.raises(InProgress):
        sightings.check("build", "k", RUNNING, 1)
    clock.now = 31.0
    for name, key in (("build", "j"), ("other", "k")):
        with pytest.raises(InProgress):
            sightings.check(name, key, RUNNING, 1)
    sightings.check("build", "k", RUNNING, 1)


def test_a_key_that_was_given_back_is_not_in_progress(clock: Monotonic) -> None:
    Sightings().check("build", "k", Entry("released", "print", 1, "worker", 30.0), 1)


def test_the_oldest_sightings_are_forgotten(clock: Monotonic) -> None:
    sightings = Sightings()
    for number in range(MAX_KEYS + 1):
        with pytest.raises(InProgress):
            sightings.check("build", str(number), RUNNING, 1)
    clock.now = 31.0
    with pytest.raises(InProgress):
        sightings.check("build", "0", RUNNING, 1)  # as if it were seen first now
    sightings.check("build", "2", RUNNING, 1)
