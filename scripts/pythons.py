"""Find Pythons: python scripts/pythons.py prints `VERSION PATH` of each one from 3.11 on, and names the missing ones.

They are looked for on PATH, as python3.11 and so on, and in the versions that pyenv has, the newest of each.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

MINORS = range(11, 20)
NAMED = range(11, 15)
"""The versions that are named when they are missing."""


def candidates(minor: int) -> Iterator[str]:
    """Paths at which a Python 3.``minor`` may be, the likeliest first."""
    name = f"python3.{minor}"
    on_path = which(name)
    if on_path:
        yield on_path
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = versions.glob(f"3.{minor}.*") if versions.is_dir() else ()
    yield from (str(folder / "bin" / name) for folder in sorted(folders, key=_patch, reverse=True))


def works(path: str, minor: int) -> bool:
    """Return true when it starts (a shim of pyenv may not), has that version, and can make a virtual environment."""
    script = "import ensurepip, sys, venv; print(sys.version_info[1])"
    try:
        run = subprocess.run([path, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.stdout.strip() == str(minor)


def find() -> dict[int, str]:
    """The path of each version that there is, by its minor number."""
    return {minor: path for minor in MINORS if (path := next(_working(minor), None)) is not None}


def _working(minor: int) -> Iterator[str]:
    return (path for path in candidates(minor) if works(path, minor))


def _patch(folder: Path) -> int:
    patch = folder.name.rpartition(".")[2]
    return int(patch) if patch.isdigit() else -1


def main() -> int:
    found = find()
    for minor, path in found.items():
        print(f"3.{minor} {path}")
    missing = [f"3.{minor}" for minor in NAMED if minor not in found]
    if missing:
        print(f"not found: Python {', '.join(missing)}", file=sys.stderr)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
