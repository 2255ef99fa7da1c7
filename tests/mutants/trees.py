"""Copies of the repository to put bugs into, and tests run there in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
        path = f"{folder / 'src'}{os.pathsep}{folder}"
        self._environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self._runner: subprocess.Popen[str] | None = None
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
        """Compile the source and the tests, as Python and pytest do when they may write compiled files."""
        environment = {**self._environment}
        del environment["PYTHONDONTWRITEBYTECODE"]
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
        subprocess.run(command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, check=True)

    def run(self, tests: Sequence[str], seconds: float) -> tuple[str, str]:
        """Run tests, until the first that fails; returns "passed", "failed" or "hung", and the output of pytest.

        A run over `seconds` has hung, and is killed with all that it started.
        """
        if self._runner is None:
            self._runner = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.mutants.runner"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        arguments, output = self.folder / "arguments", self.folder / "output"
        options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was imported before
        arguments.write_text("\n".join([*options, *tests]))
        assert self._runner.stdin is not None
        assert self._runner.stdout is not None
        self._runner.stdin.write(f"{arguments} {output} {seconds}\n")
        self._runner.stdin.flush()
        said = self._runner.stdout.readline().strip()
        assert said, "the process that runs the tests has ended"
        if said == "hung":
            return "hung", ""
        return ("passed" if said == "0" else "failed"), output.read_text(errors="replace")

    def close(self) -> None:
        """End the process that runs the tests."""
        if self._runner is not None:
            with self._runner as runner:
                assert runner.stdin is not None
                runner.stdin.close()


@contextmanager
def tree(*, warm: bool = False) -> Iterator[Tree]:
    """A copy that goes when the block ends. In a `warm` one all is compiled, which takes seconds, and saves them."""
    with tempfile.TemporaryDirectory(prefix="telex-mutants-") as folder:
        made = Tree(Path(folder))
        if warm:
            made.compile()
        try:
            yield made
        finally:
            made.close()
