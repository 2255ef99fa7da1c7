"""For every subscriber, whatever happens: published = received + lost + waiting, in order, every hole told once."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from telex.log.options import Options
from tests.mutants.kernel import MUTANTS
from tests.unit.log.choices import every_kind, kind_id
from tests.unit.log.hub_machine import HubMachine
from tests.unit.log.machine import LogMachine

PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]


@pytest.fixture(autouse=True)
def a_failure_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing run is made short for a minute, not for five, which would be longer than a test may take."""
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 60)


def examine(machine: type[RuleBasedStateMachine], kinds: list[Options], examples: int, steps: int) -> None:
    chosen = type(machine.__name__, (machine,), {"kinds": kinds})
    run_state_machine_as_test(
        chosen, settings=settings(max_examples=examples, stateful_step_count=steps, phases=PHASES)
    )


@pytest.mark.parametrize("kind", every_kind(), ids=kind_id)
@pytest.mark.parametrize("machine", [LogMachine, HubMachine])
def test_a_policy_alone(machine: type[RuleBasedStateMachine], kind: Options) -> None:
    examine(machine, [kind], examples=6, steps=20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", every_kind(), ids=kind_id)
@pytest.mark.parametrize("machine", [LogMachine, HubMachine])
def test_a_policy_alone_at_length(machine: type[RuleBasedStateMachine], kind: Options) -> None:
    examine(machine, [kind], examples=12, steps=30)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [LogMachine, HubMachine])
def test_policies_beside_each_other(machine: type[RuleBasedStateMachine]) -> None:
    examine(machine, every_kind(), examples=60, steps=50)


def test_each_bug_put_in_by_hand_has_its_place() -> None:
    """`make mutants-by-hand` puts them in, and runs the machines."""
    for mutant in MUTANTS:
        assert mutant.new in mutant.text()
