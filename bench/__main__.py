"""python -m bench: run all benchmarks and write their results, or run some and show them."""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from time import monotonic

from bench import chart, report
from bench.bars import judge
from bench.question import Question
from bench.rounds import WorkerFailed, ask

QUESTIONS = (
    "fanout",
    "publish_cost",
    "latency",
    "memory",
    "import_time",
    "durable",
    "commands",
    "sync_code",
    "http",
    "timers",
    "rates",
    "tracing",
    "postgres",
    "postgres_latency",
    "postgres_queues",
    "postgres_idle",
    "postgres_size",
    "postgres_subscribers",
)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure telex and what it is compared with, in one run, taking turns.",
        epilog="Without a question all are run, and results.json, results.md and results.svg are written.",
    )
    parser.add_argument("questions", nargs="*", metavar="question", help=f"one or more of {', '.join(QUESTIONS)}")
    parser.add_argument("--json", action="store_true", help="print JSON and no tables")
    parser.add_argument("--quick", action="store_true", help="one tiny round: whether it runs, not how fast")
    parser.add_argument("--rounds", type=int, help="how many rounds; default: each question's own")
    parser.add_argument(
        "--loop", choices=["asyncio", "uvloop"], default="asyncio", help="the event loop of all contestants"
    )
    parser.add_argument(
        "--into", type=Path, help="where the results are written; default: bench, if all are run at length"
    )
    asked = parser.parse_args(given)
    for name in asked.questions:
        if name not in QUESTIONS:
            parser.error(f"there is no question {name!r}; choose from {', '.join(QUESTIONS)}")
    if asked.rounds is not None and asked.rounds < 1:
        parser.error("--rounds is at least 1")
    return asked


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    whole = not asked.questions
    into: Path | None = asked.into
    if into is None and whole and not asked.quick:
        into = Path(__file__).parent
    start, about = monotonic(), report.machine(asked.loop, asked.quick)
    answers = []
    for name in asked.questions or QUESTIONS:
        question: Question = import_module(f"bench.{name}").QUESTION
        try:
            answers.append(ask(question, rounds=asked.rounds, quick=asked.quick, loop=asked.loop, progress=_progress))
        except WorkerFailed as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    verdicts = [verdict for answer in answers for verdict in judge(answer)]
    data = json.dumps(report.as_data(answers, verdicts, about), indent=1, ensure_ascii=False) + "\n"
    page = report.markdown(answers, verdicts, about)
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        (into / "results.json").write_text(data)
        (into / "results.md").write_text(page)
        for answer in answers:
            if answer.question.name == "fanout":
                (into / "results.svg").write_text(chart.draw(answer))
    print(data if asked.json else page, end="")
    _progress(f"{monotonic() - start:.0f} s" + (f", written into {into.name}" if into else ""))
    return 0


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
