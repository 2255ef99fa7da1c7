"""Contestants taking turns.

In every round each contestant gets a fresh process, so that no one inherits another's imports, heap or garbage
collector, and layouts that are lucky or unlucky for one process are drawn again. All of them are started before the
first is measured: starting is not timed, and the turns follow each other closely, so that a machine that slows down
slows all of them. One is measured at a time; the others wait on a pipe. Every other round goes through them
backwards.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from bench.question import Answer, Contestant, Figures, Question
from bench.worker import answer as answer_of

ROOT = Path(__file__).resolve().parent.parent


class WorkerFailed(Exception):
    """A contestant that ended instead of answering; its own words are on the terminal."""


class Worker:
    """One contestant's process in one round."""

    def __init__(self, question: Question, contestant: Contestant, loop: str) -> None:
        command = [sys.executable, "-m", "bench.worker", question.name, contestant.name]
        environment = {**os.environ, "BENCH_LOOP": loop, "PYTHONHASHSEED": "random"}
        self.contestant = contestant
        self._name = f"{question.name}: {contestant.label}"
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.__exit__(None, None, None)

    def measure(self, case: str, quick: bool) -> dict[str, Any]:
        """Return its answer, without a timeout."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("both are pipes")
        stdin.write(json.dumps({"case": case, "quick": quick}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise WorkerFailed(f"{self._name}, case {case!r}, ended with status {self._process.wait()}")
        answered: dict[str, Any] = json.loads(line)
        return answered


class Here:
    """A contestant in this process: for a round that only shows whether it runs."""

    def __init__(self, question: Question, contestant: Contestant, loop: str) -> None:
        self.contestant = contestant
        self._question = question.name
        os.environ["BENCH_LOOP"] = loop

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def measure(self, case: str, quick: bool) -> dict[str, Any]:
        """Return its answer."""
        return answer_of(self._question, self.contestant.name, case, quick)


def ask(
    question: Question,
    *,
    rounds: int | None = None,
    quick: bool = False,
    loop: str = "asyncio",
    progress: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Measure every contestant in every case, in turns; one quick round does without a process for each."""
    answer = Answer(question)
    count = rounds or (1 if quick else question.rounds)
    for number in range(count):
        progress(f"{question.name}: round {number + 1} of {count}")
        contestants = [c for c in question.contestants if c.name not in answer.absent]
        if number % 2:
            contestants.reverse()
        with ExitStack() as exits:
            workers: list[Worker | Here] = []
            for each in contestants:
                if quick and rounds is None:
                    workers.append(exits.enter_context(Here(question, each, loop)))
                else:
                    workers.append(exits.enter_context(Worker(question, each, loop)))
            for case in question.cases:
                for worker in workers:
                    _one(answer, worker, case, quick)
    return answer


def _one(answer: Answer, worker: Worker | Here, case: str, quick: bool) -> None:
    contestant = worker.contestant
    if contestant.name in answer.absent or not answer.question.takes_part(contestant, case):
        return
    said = worker.measure(case, quick)
    if "absent" in said:
        answer.absent[contestant.name] = said["absent"]
        return
    figures = answer.figures.setdefault((contestant.name, case), Figures())
    figures.values.append(said["figure"])
    figures.dropped += said["dropped"]
