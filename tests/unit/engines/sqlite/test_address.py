"""The URL of a file."""

import pytest

import telex


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://x.db", "three slashes"),
        ("sqlite:///", "has no file name"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///x.db?synchronous=off", "synchronous=full"),
        ("sqlite:///x.db?cache=1", "the options are"),
        ("sqlite:///x.db?busy_timeout=soon", "busy_timeout"),
        ("sqlite:///x.db?foreign_keys=1", "foreign_keys=off"),
        ("redis://x", "sqlite:///file.db"),
    ],
)
def test_a_url_that_is_wrong(url: str, words: str) -> None:
    with pytest.raises(telex.BadOption, match=words):
        telex.Hub(url)
