"""The document's two programs of events, on a virtual clock."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from telex.testing.clock import VirtualClock

EXAMPLES = Path(__file__).parents[2] / "examples"


def program(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_counter_is_looked_at_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = VirtualClock()
    clock.run(program("counter").main(clock))
    # 1000 is reached after 45 seconds, and seen at the next look; then the topic is closed, and the program ends.
    assert capsys.readouterr().out == "look 50: the counter is at 1112\n"
    assert f"{clock.now:%M:%S}" == "00:50"


def test_events_are_dispatched_by_type(capsys: pytest.CaptureFixture[str]) -> None:
    clock = VirtualClock()
    clock.run(program("event_loop").main(clock))
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith("heard")] == [f"heard of event:{n}" for n in (1, 2, 3)]
    assert {"a number: 42", "a text: hello", "of no interest: 1"} < set(told)
    assert len(told) == 6, "3.14 goes to nobody"
