"""The examples of single features, unchanged on every engine: `python examples/NAME.py URL`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres import url_of

EXAMPLES = Path(__file__).parents[2] / "examples"
FEATURES = {
    "tokens": [
        *("sender: brown", "sender: fox"),
        *("page: jumps", "page: over", "page: the", "page: lazy", "page: dog"),
        "tokens: 7",
    ],
    "board": ["topics: ['orders']", "schedules: {'monday': False}", "schedules: {'monday': True}"],
    "parcels": [
        *("failed normal there is no plate", "delayed normal ", "done high "),
        *("packed: cup", "cancelled: True", "packed: plate"),
    ],
    "bulk_load": ["loaded: 5 8 7", "loaded: 4 9", "refused: -1 a price below zero"],
    "factories": [
        "committed",
        "700 cents paid in a transaction of a client of the bank",
        "the client is closed",
        "700 cents paid in a test",
    ],
    "bill_again": [
        *("order 1 costs 5", "order 2 costs 5", "order 3 costs 5", "order 2 costs 4", "order 3 costs 4"),
        "cancelled: True False",
    ],
    "offers": [
        "mailed: coffee, for a day",
        "expired: 1 True",
        "kept: ['coffee, for a day']",
        "read: ['coffee, for a day']",
        "expired: 1 lost: 0",
    ],
    "limits": ["at once: 2", "mails: ['ann', 'bob', 'ann', 'ann', 'ann'] True"],
    "event_stream": ['"rain"', '"sun"', '"snow"'],
}
"""What each example prints."""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["memory", "sqlite", "postgresql"])
@pytest.mark.parametrize("name", FEATURES)
def test_an_example_prints_the_same_on_every_engine(
    name: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "postgresql":
        url = url_of(request.getfixturevalue("postgres"), f"example_{name}")
    else:
        url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/example.db"}[engine]
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == FEATURES[name]


@pytest.mark.parametrize("name", FEATURES)
def test_an_example_of_a_feature_is_short(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 40
