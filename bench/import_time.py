"""The time that `import telex` takes, and the check that it imports no web framework."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from bench.question import Contestant, Question

QUESTION = Question(
    name="import_time",
    title="import telex",
    method=(
        "A fresh Python each time, only the import timed, compiled files there. The other side imports what telex "
        "stands on: asyncio, msgspec and uuid_utils."
    ),
    unit="milliseconds",
    better="less",
    cases={"import": "import", "frameworks": "web frameworks, servers and terminals imported with it, a count"},
    contestants=(
        Contestant("telex", "import telex"),
        Contestant("bases", "import asyncio, msgspec, uuid_utils", cases=("import",)),
    ),
    rounds=15,
)
IMPORTS = {"telex": "import telex", "bases": "import asyncio, msgspec, uuid_utils"}
HEAVY = [
    *("aiohttp", "anyio", "django", "fastapi", "flask", "h11", "httpx", "pydantic", "quart", "rich", "sanic"),
    *("starlette", "tornado", "typer", "uvicorn", "uvloop", "websockets"),
]
TIMED = "from time import perf_counter; s = perf_counter(); {}; print((perf_counter() - s) * 1e3)"
COUNTED = "import telex, sys; print(len(sys.modules.keys() & set({!r})))"


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Milliseconds, or how many modules that have no business here were imported."""
    code = COUNTED.format(HEAVY) if case == "frameworks" else TIMED.format(IMPORTS[contestant])
    figures = [_python(code) for _ in range(1 if quick or case == "frameworks" else 3)]
    # The fastest of three: what the machine did meanwhile only ever adds.
    return min(figures), 0


def _python(code: str) -> float:
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=_compiled()).stdout)


@cache
def _compiled() -> dict[str, str]:
    """An environment in which all that is imported here is compiled already, whatever this one says about that."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(Path(__file__).resolve().parent.parent / "build" / "bench" / "compiled")
    for code in IMPORTS.values():
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return environment
