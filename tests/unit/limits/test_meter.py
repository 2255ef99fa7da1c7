"""The shared state of a key: the bounds that it promises, whatever processes ask."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.limits.limit import Rule
from telex.limits.meter import CallRequest, KeyState, decide, decode, encode

RULES = st.builds(
    Rule,
    st.sampled_from([0.1, 1.0, 1e-6, 36.0]),
    st.sampled_from([1, 2, 5, 100]),
    st.sampled_from([None, None, 1, 3]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["ask", "ask", "ask", "end", "wait"]),
        st.integers(1, 6),
        st.sampled_from([0.0, 1e-6, 0.05, 0.1, 0.5, 1.0, 40.0]),
    ),
    max_size=60,
)


@dataclass
class Processes:
    """Processes that share one key, and the times at which their calls began."""

    rule: Rule
    state: KeyState = field(default_factory=KeyState)
    now: float = 1_700_000_000.0
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys("abc", 0))
    begins: list[float] = field(default_factory=list)

    def ask(self, id: str, want: int) -> tuple[int, float | None, bool]:
        decision = decide(self.state, self.rule, CallRequest(id, self.used[id], want), self.now)
        assert 0 <= decision.granted <= want
        self.state = decode(encode(decision.state))
        self.used[id] += decision.granted
        self.begins += [self.now] * decision.granted
        return decision.granted, decision.wait, decision.gave_way

    def end(self, id: str, count: int) -> None:
        self.used[id] = max(0, self.used[id] - count)
        self.ask(id, 0)


@pytest.mark.slow
@given(RULES, STEPS)
def test_in_any_time_at_most_the_rate_and_the_burst_begin(rule: Rule, steps: list[tuple[str, str, int, float]]) -> None:
    run = Processes(rule)
    for id, what, count, seconds in steps:
        if what == "ask":
            run.ask(id, count)
        elif what == "end":
            run.end(id, count)
        else:
            run.now += seconds
        if rule.concurrency is not None:
            assert sum(run.used.values()) <= rule.concurrency
            assert run.state.slots == {id: n for id, n in run.used.items() if n}
    assert rule.interval is not None
    for first, begin in enumerate(run.begins):
        for last in range(first, len(run.begins)):
            allowed = (run.begins[last] - begin) / rule.interval + rule.burst
            assert last - first + 1 <= allowed + 1e-6 / rule.interval  # times of this size are rounded


@given(RULES.filter(lambda rule: rule.interval is not None and rule.interval > 0.01), st.integers(1, 20))
def test_a_call_may_begin_after_the_time_that_the_answer_says_and_not_before(rule: Rule, want: int) -> None:
    run = Processes(Rule(rule.interval, rule.burst, None))
    while run.ask("a", want)[0] == want:
        pass
    granted, wait, _ = run.ask("b", 1)
    if wait is not None and wait < 1e-4:  # the last call of the burst: times of this size are rounded
        run.now += 1e-4
        assert run.ask("b", 1)[0] == 1
        granted, wait, _ = run.ask("b", 1)
    assert granted == 0
    assert wait is not None
    run.now += wait * 0.9
    assert run.ask("b", 1)[0] == 0
    run.now += wait * 0.1 + 1e-6
    assert run.ask("b", 1)[0] == 1


@pytest.mark.slow
@given(st.integers(1, 5), st.lists(st.sampled_from("abc"), max_size=20))
def test_no_more_than_the_concurrency_run_and_a_process_that_is_gone_gives_up_its_slots(
    most: int, ids: list[str]
) -> None:
    run = Processes(Rule(None, 1, most))
    for id in ids:
        run.ask(id, 2)
        assert sum(run.used.values()) <= most
    run.ask("a", most)
    run.end("b", most)
    run.end("c", most)
    had = run.used["a"]
    assert decide(run.state, run.rule, CallRequest("c", 0, most), run.now).granted == most - had
    assert decide(run.state, run.rule, CallRequest("c", 0, most, gone=["a"]), run.now).granted == most


def test_a_process_that_has_slots_gives_way_once_to_a_process_without_one() -> None:
    run = Processes(Rule(None, 1, 1))
    assert run.ask("a", 1)[0] == 1
    assert run.ask("b", 1) == (0, None, False)
    assert run.state.wanted
    run.used["a"] = 0  # its call has ended, and it keeps the slot for the next call
    assert run.ask("a", 1) == (0, None, True)
    assert run.ask("b", 1) == (1, None, False)
    assert not run.state.wanted
    run.end("b", 1)
    run.state = KeyState(0.0, {"a": 1}, wanted=True)
    insisting = decide(run.state, run.rule, CallRequest("a", 0, 1, insists=True), run.now)
    assert (insisting.granted, insisting.state.wanted) == (1, False)


def test_a_slot_is_not_counted_without_a_token_of_the_rate() -> None:
    run = Processes(Rule(10.0, 1, 5))
    assert run.ask("a", 3)[0] == 1
    granted, wait, _ = run.ask("b", 1)
    assert (granted, wait) == (0, 10.0)
    assert run.state.slots == {"a": 1}


def test_a_damaged_record_is_an_empty_state() -> None:
    for damaged in (b"", b"\xff", b"{}", b'["x"]'):
        assert decode(damaged) == KeyState()
    state = KeyState(1.5, {"a": 2}, wanted=True)
    assert decode(encode(state)) == state
