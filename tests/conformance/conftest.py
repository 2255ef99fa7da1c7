"""Mark the tests of the suite that have the attribute ``slow``: the suite itself does not import pytest."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if getattr(getattr(item, "function", None), "slow", False):
            item.add_marker(pytest.mark.slow)
