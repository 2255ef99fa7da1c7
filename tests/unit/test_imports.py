"""Imports point one way, and `import telex` stays light."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOUND = importlib.util.find_spec("telex")
assert FOUND is not None
assert FOUND.origin is not None
PACKAGE = Path(FOUND.origin).parent
# The kernel, from the bottom up. A module imports only what is in a row above its own, or beside it in its own row.
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors", "names", "durations"),
    ("message", "codec", "encoding", "roundtrip"),
    ("holdings", "cursor", "dedup", "ledger", "log", "options", "overflow", "start"),
    ("room", "wakeup", "batches", "forks", "origins", "subscription", "supervision", "tasks"),
    ("history", "outlet", "topic"),
    ("context", "functions", "middleware", "once", "settling"),
    # The hub is made of these; handlers name it where a function asks for it.
    (
        "calls",
        "commands",
        "crew",
        "grouping",
        "handlers",
        "hands",
        "hub",
        "members",
        "router",
        "switch",
        "topics",
        "transaction",
        "triggers",
    ),
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
# Everything else: above the hub.
TOP = len(ROWS)
# The rows of the log and below decide: no event loop, no threads, no files, no sockets.
PURE = {name for row in ROWS[:3] for name in row}
IMPURE = {"asyncio", "concurrent", "io", "os", "pathlib", "selectors", "socket", "subprocess", "threading"}
# Engines know the nouns and the contract, and nothing that uses an engine.
ENGINE_MAY = PURE | {"engines", "forks", "supervision", "tasks"}
CONTRACT = {"engines.groups", "engines.records", "engines.store"}
WEB = {"fastapi", "h11", "httpx", "rich", "starlette", "typer", "uvicorn", "uvloop", "websockets", "pydantic", "anyio"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """The names inside telex that a file imports, at any depth, type checking included: `log`, `engines.memory`."""
    package = ("telex." + module_name(path)).rstrip(".").split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from telex import log` names a module; `from telex import Message` names the root.
            names = [
                f"{module}.{alias.name}" if is_module(f"{module}.{alias.name}") else module for alias in node.names
            ]
        found |= {name.removeprefix("telex").removeprefix(".") for name in names if name.split(".")[0] == "telex"}
    return found


def is_module(name: str) -> bool:
    if name.split(".")[0] != "telex":
        return False
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return base.with_suffix(".py").exists() or (base / "__init__.py").exists()


def rank(module: str) -> int:
    return RANK.get(module.split(".")[0], TOP)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[module_name(path) or "telex" for path in FILES])
def test_imports_point_one_way(path: Path) -> None:
    module = module_name(path)
    if module == "":
        return  # the package root takes the public names from everywhere: that is its work
    top = module.split(".")[0]
    for other in imported(path):
        other_top = other.split(".")[0]
        if top == "chat":
            assert other in {"", "gateway"} or other_top == "chat", f"chat uses public names alone, not telex.{other}"
        elif top == "engines":
            assert other_top in ENGINE_MAY, f"an engine imports the contract and the nouns, not telex.{other or 'root'}"
        elif rank(module) < TOP:
            assert other != "", f"telex.{module} takes names from where they are made, not from the package root"
            if other != "engines" and other not in CONTRACT:
                assert rank(other) <= rank(module), f"telex.{module} is below telex.{other}"
            elif rank(module) < RANK["topic"] and module != "ledger":
                raise AssertionError(f"telex.{module} knows no engine")
    if rank(module) < RANK["hub"]:
        concrete = {other for other in imported(path) if other.startswith("engines.")} - CONTRACT
        assert not concrete, f"nothing below hub imports an engine: {concrete}"


# And what decides when a trigger fires.
PURE_OF_TRIGGERS = {f"triggers/{name}" for name in ("condition", "firing", "fold", "schedule", "sequence", "stream")}


@pytest.mark.parametrize("name", sorted(PURE | PURE_OF_TRIGGERS))
def test_the_log_and_what_is_below_it_is_plain(name: str) -> None:
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    assert not found & IMPURE


def test_importing_telex_imports_no_framework() -> None:
    script = "import sys, telex; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = {name.split(".")[0] for name in run.stdout.split()}
    assert not modules & WEB


def test_a_wrong_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "telex"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "hub": "",
        "log": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .hub import Hub\n",
        "names": "from telex import log\n",
        "topic": "def late():\n    import telex.hub\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    for name in ("log", "names", "topic"):
        with pytest.raises(AssertionError, match="is below"):
            test_imports_point_one_way(package / f"{name}.py")
    test_imports_point_one_way(package / "hub.py")
