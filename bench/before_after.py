"""Compare telex with an earlier commit of itself, both in one run: ``python -m bench.before_after --before REVISION``.

Each round measures every case in the earlier checkout and in this one, one after the other, so that both meet the same
machine. The ratio is that of the medians, better is more than 1; the spread is that of the ratios round by round.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
CASES = (
    ("fanout", "telex_iterate", "1"),
    ("fanout", "telex_iterate", "100"),
    ("fanout", "telex_iterate", "1000"),
    ("fanout", "telex_batches", "1"),
    ("fanout", "telex_batches", "100"),
    ("fanout", "telex_batches", "1000"),
    ("latency", "telex", "publish"),
    ("latency", "telex", "publish_nowait"),
    ("latency", "telex", "handler"),
    ("publish_cost", "telex", "1"),
    ("publish_cost", "telex", "1000"),
    ("durable", "telex", "publish"),
    ("durable", "telex", "consume"),
    ("durable", "telex", "history"),
    ("commands", "telex", "call"),
    ("commands", "telex", "calls"),
    ("commands", "telex", "once"),
    ("commands", "telex", "replay"),
    ("commands", "telex_sqlite", "call"),
    ("timers", "telex", "add_many"),
    ("timers", "telex", "fire_many"),
    ("timers", "telex", "periodic"),
)


@dataclass
class Case:
    """One case in both checkouts: the figures of each round."""

    question: str
    contestant: str
    case: str

    def __post_init__(self) -> None:
        self.before: list[float] = []
        self.after: list[float] = []
        self.more: bool = importlib.import_module(f"bench.{self.question}").QUESTION.better == "more"

    def ratio(self, before: float, after: float) -> float:
        return after / before if self.more else before / after

    def row(self) -> str:
        if not self.before or not self.after:
            return f"{self.question:13} {self.contestant:14} {self.case:15} not measured"
        ratios = [self.ratio(*pair) for pair in zip(self.before, self.after, strict=True)]
        middle = self.ratio(median(self.before), median(self.after))
        figures = f"{median(self.before):14.4g} {median(self.after):14.4g}"
        return (
            f"{self.question:13} {self.contestant:14} {self.case:15} {figures} {middle:7.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )


def measure(python: str, checkout: Path, case: Case, quick: bool) -> float | None:
    """One figure, measured in a process of its own."""
    asked = json.dumps({"case": case.case, "quick": quick})
    run = subprocess.run(
        [python, "-m", "bench.worker", case.question, case.contestant],
        input=asked + "\n",
        capture_output=True,
        text=True,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}"},
        timeout=300,
        check=False,
    )
    if run.returncode or not run.stdout.strip():
        print(f"{case.question} {case.contestant} {case.case} in {checkout}: {run.stderr[-500:]}", file=sys.stderr)
        return None
    figure = json.loads(run.stdout.splitlines()[-1]).get("figure")
    return None if figure is None else float(figure)


def compare(python: str, before: Path, cases: list[Case], rounds: int, quick: bool) -> None:
    for number in range(rounds):
        for case in cases:
            print(f"\rround {number + 1} of {rounds}: {case.question} {case.case:20}", end="", file=sys.stderr)
            pair = [(before, case.before), (ROOT, case.after)]
            figures = [measure(python, place, case, quick) for place, _ in (pair if number % 2 else pair[::-1])]
            if None not in figures:
                for (_, into), figure in zip(pair if number % 2 else pair[::-1], figures, strict=True):
                    into.append(float(figure or 0.0))
    print(file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", required=True, help="the commit to compare with")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose question, contestant or name has this text")
    parser.add_argument("--quick", action="store_true", help="see that every case runs")
    options = parser.parse_args()
    cases = [Case(*names) for names in CASES if options.only in " ".join(names)]
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", before, options.before], check=True)
        try:
            compare(options.python, before, cases, options.rounds, options.quick)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", before], check=True)
    print(f"{'question':13} {'contestant':14} {'case':15} {'before':>14} {'after':>14}   ratio (spread)")
    for case in cases:
        print(case.row())


if __name__ == "__main__":
    main()
