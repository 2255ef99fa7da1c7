"""The pytest plugin, in a pytest of its own: an open hub for each test, its recorder, and a virtual clock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest
import telex

router = telex.Router()


@router.on("orders", group="mail", retry=telex.Retry(attempts=3, first="2m"))
async def mail(number: int, hub: telex.Hub) -> None:
    if number < 0:
        raise ValueError(number)
    await hub.topic("mails").publish(number)


@pytest.fixture
def telex_routers():
    return [router]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize("telex_url", ["memory://", "sqlite"], indirect=True)
async def test_open(hub, recorder):
    await hub.topic("orders").publish(1)
    await hub.idle()
    assert recorder.contents("mails") == [1]


@pytest.fixture
def telex_url(request, tmp_path):
    return f"sqlite:///{tmp_path}/test.db" if getattr(request, "param", "") == "sqlite" else "memory://"


async def test_hours(hub, recorder, virtual_clock):
    begin = virtual_clock()
    await hub.topic("orders").publish(-1)
    await hub.idle(timeout="1d")
    assert len(recorder.failed) == 3
    assert virtual_clock() - begin > 180


async def test_fails(hub):
    assert (await hub.topics()) == ["no such"]


@pytest.mark.anyio
async def test_of_anyio(hub):
    await hub.topic("orders").publish(1)
    await hub.idle()


@pytest.mark.anyio
async def test_of_anyio_on_a_virtual_clock(hub, virtual_clock): ...


@pytest.mark.anyio
async def test_of_anyio_on_a_virtual_clock_without_a_hub(virtual_clock): ...


def test_plain(hub): ...


class TestOwn:
    @pytest.fixture
    def hub(self):
        return "a hub of the program"

    def test_own(self, hub):
        assert hub == "a hub of the program"
"""


@pytest.mark.slow
def test_the_plugin_opens_a_hub_for_each_test_and_explains_misuse(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    # The plugin may also be installed under its entry point; it is loaded once.
    command = [sys.executable, "-m", "pytest", "-p", "telex.testing.plugin", "-p", "no:cacheprovider", "-W", "error"]
    run = subprocess.run(
        [*command, "-rA", "--color=no", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "anyio"},
    )
    summary = run.stdout
    for name in ("test_open[memory://]", "test_open[sqlite]", "test_hours", "test_of_anyio", "TestOwn::test_own"):
        assert f"PASSED test_it.py::{name}" in summary, summary
    assert "FAILED test_it.py::test_fails" in summary
    assert "a test with the fixture 'hub' of telex must be 'async def'" in summary
    assert "leave out its mark, or the fixture 'virtual_clock'" in summary
    assert "1 failed, 5 passed, 3 errors" in summary
