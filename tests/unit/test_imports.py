"""Imports point one way, and `import telex` stays light."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.structure import against_the_order, name_of, read

FOUND = importlib.util.find_spec("telex")
assert FOUND is not None
assert FOUND.origin is not None
PACKAGE = Path(FOUND.origin).parent
# Modules that decide: no event loop, no threads, no files, no sockets.
PURE = ("errors", "names", "durations", "message", "codec", "log", "triggers.conditions", "once.machine")
LEASES = "engines.memory.lease_table"
IMPURE = {"asyncio", "concurrent", "io", "os", "pathlib", "selectors", "socket", "subprocess", "threading"}
WEB = {"fastapi", "h11", "httpx", "rich", "starlette", "typer", "uvicorn", "uvloop", "websockets", "pydantic", "anyio"}
WEB |= {"opentelemetry", "prometheus_client"}


MODULES = {name_of(path, PACKAGE): path for path in sorted(PACKAGE.rglob("*.py"))}


def test_modules_that_decide_are_plain() -> None:
    for name, path in MODULES.items():
        if name != LEASES and not name.startswith(PURE):
            continue
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
        assert not found & IMPURE, name


def test_importing_telex_imports_no_framework_and_nothing_slow() -> None:
    script = "import sys, telex; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(run.stdout.split())
    assert not {name.split(".")[0] for name in modules} & WEB
    assert "importlib.metadata" not in modules


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("log/log.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from telex.hub import Hub\n"),
        ("names.py", "from .log import log\n"),
        ("topics/topic.py", "def late():\n    import telex.router\n"),
        ("topics/topic.py", "from telex.engines import memory\n"),
        ("chat/app.py", "from telex.topics import topic\n"),
        ("hub.py", "import telex\n"),
        ("elsewhere.py", ""),
    ],
)
def test_a_wrong_import_is_seen(path: str, text: str, tmp_path: Path) -> None:
    files = {"log/log.py": "", "topics/topic.py": "", "hub.py": "", "router.py": "", "engines/memory.py": ""}
    for name, content in {**files, "__init__.py": "", path: text}.items():
        for file in (tmp_path / name, (tmp_path / name).parent / "__init__.py"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        (tmp_path / name).write_text(content)
    assert len(against_the_order(read(tmp_path))) == 1
