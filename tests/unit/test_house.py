"""The rules that tests/conftest.py makes are kept by it: each is broken on purpose in a run of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"
BROKEN = {
    "task": "async def test():\n    asyncio.create_task(asyncio.sleep(60), name='stray')",
    "hidden_exception": "async def test():\n    t = asyncio.create_task(fail())\n    await asyncio.sleep(0)\n    del t",
    "thread": "def test():\n    threading.Thread(target=threading.Event().wait, daemon=True, name='stray').start()",
    "socket": "def test():\n    KEPT.append(socket.socket())",
    "unclosed": "def test():\n    socket.socket()",
    "warning": "def test():\n    warnings.warn('w')",
    "skip": "def test():\n    pytest.skip('no reason')",
}
"""Tests that have to fail, by what is wrong with them."""
EXPECTED = {
    "task": "tasks left behind",
    "hidden_exception": "the event loop complained",
    "thread": "threads left behind",
    "socket": "sockets left behind",
    "unclosed": "ResourceWarning",
    "warning": "UserWarning",
    "skip": "nothing may",
}
HEAD = """
import asyncio, socket, threading, warnings
import pytest
KEPT = []
async def fail(): raise ValueError("unheard")
"""


@pytest.mark.slow
def test_every_broken_rule_fails(tmp_path: Path) -> None:
    for name, body in BROKEN.items():
        (tmp_path / f"test_{name}.py").write_text(HEAD + body + "\n")
    (tmp_path / "test_good.py").write_text(
        "import asyncio, pytest\n@pytest.mark.every_loop\nasync def test(): await asyncio.sleep(0)\n"
    )
    root = CONFTEST.parent.parent
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--confcutdir", str(tmp_path)]
        + ["--config-file", str(root / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert "2 passed" in run.stdout, run.stdout + run.stderr
    for name, text in EXPECTED.items():
        section = [line for line in run.stdout.splitlines() if f"test_{name}.py" in line and text in line]
        assert section, f"{name}: nothing says {text!r}\n{run.stdout}"
