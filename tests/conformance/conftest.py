"""What the suite calls slow is marked so: the suite itself needs no pytest."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if getattr(getattr(item, "function", None), "slow", False):
            item.add_marker(pytest.mark.slow)
