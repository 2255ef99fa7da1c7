"""The examples of single features, unchanged on every engine: `python examples/NAME.py URL`."""

from pathlib import Path

import pytest

from tests.docs.conftest import Printed

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
@pytest.mark.parametrize("name", FEATURES)
def test_an_example_prints_the_same_on_every_engine(name: str, engine_url: str, printed: Printed) -> None:
    assert printed(EXAMPLES / f"{name}.py", engine_url).splitlines() == FEATURES[name]


@pytest.mark.parametrize("name", FEATURES)
def test_an_example_of_a_feature_is_short(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 40
