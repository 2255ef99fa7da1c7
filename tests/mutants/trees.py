"""Copies of the repository to put bugs into, and tests run there in processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
COPIED = ("src", "tests", "docs", "examples", "scripts", "bench", "changes", "pyproject.toml", "README.md", "Makefile")
CACHES = shutil.ignore_patterns("__pycache__", ".cache", "node_modules")


class Tree:
    """A copy of the repository in a folder of its own. `change` puts a bug in; `run` runs tests with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "src" / "telex"
        for name in COPIED:
            if (REPOSITORY / name).is_dir():
                shutil.copytree(REPOSITORY / name, folder / name, ignore=CACHES)
            else:
                shutil.copy2(REPOSITORY / name, folder / name)
        self._environment = {**os.environ, "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
        self._changes = 0

    @contextmanager
    def change(self, file: str, text: str) -> Iterator[None]:
        """`file`, relative to `src/telex`, has another text inside the block."""
        path = self.source / file
        before, times = path.read_bytes(), path.stat()
        try:
            path.write_text(text)
            # Compiled files are known by size and second: each text has a second of its own.
            self._changes += 1
            second = int(times.st_mtime) + 1000 + self._changes
            os.utime(path, (second, second))
            yield
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def compile(self) -> None:
        """Compile the source once, so that each run compiles only what was changed."""
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(self.source)], env=self._environment, check=True)

    def run(self, tests: Sequence[str], seconds: float) -> tuple[str, str]:
        """Run tests, until the first that fails; returns "passed", "failed" or "hung", and the output of pytest.

        A run over `seconds` has hung, and is killed with all that it started.
        """
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        with tempfile.NamedTemporaryFile("w", suffix=".tests") as names, tempfile.TemporaryFile("w+") as out:
            names.write("\n".join(tests))
            names.flush()
            process = subprocess.Popen(
                [*command, f"@{names.name}"],
                cwd=self.folder,
                env={**self._environment, "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return "hung", ""
            finally:
                kill(process)
            out.seek(0)
            return ("failed" if process.returncode else "passed"), out.read()


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its session."""
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def tree() -> Iterator[Tree]:
    """A copy that goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="telex-mutants-") as folder:
        made = Tree(Path(folder))
        made.compile()
        yield made
