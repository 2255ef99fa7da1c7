"""For every subscriber, whatever happens: published = received + lost + waiting, in order, every hole told once."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from telex.cursor import Options
from tests.unit.kernel.choices import every_kind, kind_id
from tests.unit.kernel.hub_machine import HubMachine
from tests.unit.kernel.machine import LogMachine


@pytest.mark.parametrize("kind", every_kind(), ids=kind_id)
def test_each_policy_alone(kind: Options) -> None:
    class Machine(LogMachine):
        kinds = [kind]

    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=25))


@pytest.mark.parametrize("kind", every_kind(), ids=kind_id)
def test_each_policy_through_a_hub(kind: Options) -> None:
    class Machine(HubMachine):
        kinds = [kind]

    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=25))
