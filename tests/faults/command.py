"""The command line of a fault test that runs for a number of seconds."""

import argparse
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec


class Counted(Protocol):
    """What a run has shown: a struct of numbers, and what was wrong."""

    problems: list[str]


def play(what: str | None, run: Callable[[Path, float, int], Counted]) -> int:
    """Run it in a folder of its own, for as long as is asked for; the exit code."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print("seed", given.seed)
    with tempfile.TemporaryDirectory() as folder:
        count = run(Path(folder), given.seconds, given.seed)
    problems, count.problems = count.problems, []
    print(msgspec.json.encode(count).decode())
    print(*problems[:20], f"{len(problems)} problems", sep="\n")
    return 1 if problems else 0
