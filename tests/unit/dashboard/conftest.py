import asyncio
from pathlib import Path

import pytest

from tests.unit.commands.parts import Gate


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/telex.db"


@pytest.fixture
def gate() -> Gate:
    return Gate(asyncio.Event(), asyncio.Event())
