"""Fill the disk of a running program at random moments, again and again, and see that it works on and has lost nothing.

python -m tests.faults.fulldisk --times 30

The disk is full by the limit on the size of files that Linux has for each process. With ``--mount FOLDER``, a file
system in memory is mounted there, which needs the rights of root, and really filled.
"""

import argparse
import asyncio
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from telex.engines.sqlite.upkeep import check
from tests.faults.kills import Count, last_run, look

LONGEST, FULL = 0.15, 0.3
"""Seconds that the program works, and that the disk is full, at most."""
PATIENCE = 20.0
"""Seconds in which the program has to publish again when there is space."""
SIZE = 24 * 1024 * 1024


class Program:
    """The victim, and what it has noted."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "tests.faults.victim", url, "-", "0"]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # `kill` closes it
        # Python ignores SIGXFSZ by itself.
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors)
        self.lines: list[str] = []
        self.refused = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode().rstrip("\n")
            self.refused += text == "F"
            self.lines.append(text)

    def works(self) -> bool:
        """Whether it publishes and handles, within the patience."""
        start, end = len(self.lines), time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            kinds = {line[:2] for line in self.lines[start:]}
            if {"P ", "A "} <= kinds:
                return True
            time.sleep(0.005)
        return False

    def kill(self) -> str:
        """End it; what it wrote to the standard error."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.seek(0)
        text = self.errors.read().decode()
        self.errors.close()
        return text


@contextmanager
def limited(program: Program, folder: Path, chance: random.Random) -> Iterator[None]:
    """No file may grow beyond a size that is smaller than those of the database."""
    largest = max(file.stat().st_size for file in folder.glob("victim.db*"))
    size = chance.randrange(4096, max(8192, largest))
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def filled(program: Program, folder: Path, chance: random.Random) -> Iterator[None]:
    """The file system has no byte left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_often(folder: Path, times: int, seed: int, *, really: bool = False) -> Count:
    """Fill the disk so many times under one program, then look whether what was acknowledged is there."""
    chance, url = random.Random(seed), f"sqlite:///{folder}/victim.db?synchronous=normal"
    count, program = Count(problems=[]), Program(url)
    try:
        if not program.works():
            count.problems.append("it does not begin")
        for number in range(times):
            time.sleep(chance.random() * LONGEST)
            with (filled if really else limited)(program, folder, chance):
                time.sleep(chance.random() * FULL)
            if not program.works():
                count.problems.append(f"after the disk was full for the time number {number + 1} it does nothing more")
                break
    finally:
        said = program.kill()
    notes = folder / "notes"
    notes.write_text("\n".join(line for line in program.lines if line not in ("F", "ready")) + "\n")
    last_run(url, notes)
    looked = asyncio.run(look(url, notes.read_text()))
    looked.problems = count.problems + looked.problems + check(folder / "victim.db")
    looked.problems += [f"a traceback: {said[-2000:]}"] if "Traceback" in said else []
    looked.kills = program.refused
    return looked


def main() -> None:
    """Run a series, and say what it has shown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--mount", type=Path)
    chosen = parser.parse_args()
    if chosen.mount is not None:
        with mounted(chosen.mount):
            count = fill_often(chosen.mount, chosen.times, chosen.seed, really=True)
    else:
        with tempfile.TemporaryDirectory() as folder:
            count = fill_often(Path(folder), chosen.times, chosen.seed)
    print(f"seed {chosen.seed}: {chosen.times} times a full disk, {count.kills} refused with EngineFailed")
    print(f"{count.acknowledged} messages acknowledged, {count.kept} kept, {count.handled_again} calls again")
    for problem in count.problems[:20]:
        print(problem)
    sys.exit(1 if count.problems else 0)


if __name__ == "__main__":
    main()
