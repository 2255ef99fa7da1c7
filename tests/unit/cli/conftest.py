"""`server`, a running chat room; `telex`, which runs a command in this process and gives what it said."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from telex.cli.app import run
from tests.support.server import ChatServer


class Ran(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str


Telex = Callable[..., Ran]


@pytest.fixture(scope="package")
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture
def telex(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Telex:
    for name in ("TELEX_SERVER", "TELEX_URL"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str) -> Ran:
        code = run(arguments)
        out, err = capsys.readouterr()
        return Ran(int(code), out, err)

    return command
