"""`telex follow`."""

import json

import pytest

import telex as package
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


def test_outcomes_of_commands_are_followed(telex: Telex, serving: str) -> None:
    telex("send", "report:build", "2026", "--key", "a", "--url", serving)
    telex("send", "report:print", "1", "--key", "b", "--url", serving)
    options = ("--since", "earliest", "--timeout", "20s", "--url", serving)
    ran = telex("follow", "report:*", "--count", "2", *options)
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert first.partition(" ")[2] == 'report:build a done {"pages":2026,"attempt":1}'
    assert second.partition(" ")[2] == "report:print b failed OutOfPaper: no paper"
    lines = telex("follow", "report:build", "--progress", "--count", "2", "--json", *options).out.splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {"progress", "outcome"}
    lines = telex("follow", "report:build", "--progress", "--count", "2", *options).out.splitlines()
    assert any(line.strip() == "report:build a  50% half" for line in lines)
    ran = telex("follow", "report:build", "--count", "2", "--timeout", "10ms", "--url", serving)
    assert (ran.code, ran.err) == (4, "telex: 0.01 s are over, and 2 of 2 have not come\n")
    assert telex("follow", "report:build", "--timeout", "10ms", "--url", serving) == (0, "", "")
    assert telex("follow", "a::b", "--url", serving).code == 2
    assert telex("follow", "a", "--since", "soon", "--url", serving).code == 2


def test_a_hole_is_told(telex: Telex, serving: str) -> None:
    with package.blocking.Hub(serving) as hub:
        hub.retain("$command:>", messages=1)
        for _ in range(3):
            hub.call("echo", 1)
        options = ("--since", "3", "--timeout", "20s", "--url", serving)
        assert "2 are lost" in telex("follow", "echo", "--count", "2", *options).err
        lost, _ = telex("follow", "echo", "--count", "2", "--json", *options).out.splitlines()
        assert json.loads(lost)["lost"]["count"] == 2
