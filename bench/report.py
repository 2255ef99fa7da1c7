"""The results as JSON, and as Markdown tables that read well on a terminal too."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.bars import Verdict, amount
from bench.question import Answer, Contestant
from bench.ratios import compact, ratios, spread

PACKAGES = (
    *("telex", "msgspec", "uuid-utils", "uvloop", "anyio", "blinker", "pypubsub", "aiopubsub", "broadcaster"),
    *("faststream", "nats-py", "bubus", "pydantic", "psycopg", "procrastinate", "pgqueuer", "asyncpg"),
)
# What the fan-out table compares everybody with.
REFERENCE = "asyncio_queue"


def machine(loop: str, quick: bool = False) -> dict[str, object]:
    """The versions and the machine, on which the figures depend."""
    return {
        "quick": quick,
        "load before": round(os.getloadavg()[0], 2),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "go": _go(),
        "event loop": loop,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _go() -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    return subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def as_data(answers: Sequence[Answer], verdicts: Sequence[Verdict], about: dict[str, object]) -> dict[str, object]:
    """Everything that was measured, every round of it."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    questions = {answer.question.name: _answer_data(answer) for answer in answers}
    return {"made": made, "machine": about, "bars": [_bar_data(v) for v in verdicts], "questions": questions}


def _answer_data(answer: Answer) -> dict[str, object]:
    question = answer.question
    contestants = {}
    for contestant in question.contestants:
        cases = {
            case: {"median": compact_number(found.values), "rounds": found.values, "dropped": found.dropped}
            for case in question.cases
            if (found := answer.figures.get((contestant.name, case)))
        }
        about: dict[str, object] = {"label": contestant.label, "note": contestant.note, "cases": cases}
        if contestant.name in answer.absent:
            about["not measured"] = answer.absent[contestant.name]
        contestants[contestant.name] = about
    return {"title": question.title, "unit": question.unit, "method": question.method, "contestants": contestants}


def compact_number(values: Sequence[float]) -> float | None:
    found = spread(values)
    return None if found is None else float(f"{found.median:.4g}")


def _bar_data(verdict: Verdict) -> dict[str, object]:
    bar = verdict.bar
    measured = None if verdict.measured is None else asdict(verdict.measured)
    data: dict[str, object] = {"question": bar.question, "what": bar.what, "bar": verdict.bound}
    data |= {"measured": measured, "holds": verdict.holds}
    if verdict.measured is None:
        data["not measured"] = verdict.why
    return data


def markdown(answers: Sequence[Answer], verdicts: Sequence[Verdict], about: dict[str, object]) -> str:
    """The whole as one page."""
    parts = [_introduction(about)]
    if verdicts:
        parts += ["## Bars", bars_table(verdicts)]
    for answer in answers:
        parts += [f"## {answer.question.title}", answer.question.method, answer_table(answer)]
    return "\n\n".join(parts) + "\n"


def _introduction(about: dict[str, object]) -> str:
    packages = about["packages"]
    facts = [about["processor"], f"{about['cores']} cores", about["system"], about["python"], about["go"] or "no Go"]
    facts += [f"{about['event loop']} event loop", f"load before it began {about['load before']}"]
    versions = ", ".join(f"{k} {v}" for k, v in packages.items()) if isinstance(packages, dict) else ""
    warning = "A quick run: it shows that everything runs, its figures say nothing.\n\n" if about.get("quick") else ""
    return (
        f"# Results\n\n{warning}"
        "Contestants take turns, each in a fresh process every round, all on the same kind of event loop. A ratio is "
        "made round by round, of the median of five slices on both sides; the tables show medians over the rounds, and "
        "the lowest and highest in brackets. Made by `make bench`."
        "\n\n"
        f"{', '.join(f'{value}' for value in facts)}. {versions}."
    )


def bars_table(verdicts: Sequence[Verdict]) -> str:
    """Each bar, what was measured, and whether it holds."""
    rows = [["what", "bar", "measured", "lowest to highest", ""]]
    for verdict in verdicts:
        measured, unit = verdict.measured, verdict.bar.unit
        shown = ("–", "–")
        if measured is not None:
            shown = (amount(measured.median, unit), f"{amount(measured.low, unit)} to {amount(measured.high, unit)}")
        rows.append([f"{verdict.bar.what}", verdict.bound, *shown, verdict.word])
    return table(rows)


def answer_table(answer: Answer) -> str:
    """A row a contestant, a column a case; where there is a reference, ratios to it first and figures after."""
    question = answer.question
    rows = [["", *question.cases.values(), "" if not any(c.note for c in question.contestants) else "how"]]
    rows += [[c.label, *(_cell(answer, c, case) for case in question.cases), c.note] for c in question.contestants]
    if not rows[0][-1]:
        rows = [row[:-1] for row in rows]
    caption = f"In {question.unit}"
    if question.name == "fanout":
        caption += "; first, how many times as many as asyncio.Queue"
    return f"{caption}.\n\n{table(rows)}"


def _cell(answer: Answer, contestant: Contestant, case: str) -> str:
    if not answer.question.takes_part(contestant, case):
        return ""
    if contestant.name in answer.absent:
        return f"not measured: {answer.absent[contestant.name]}"
    values = answer.values(contestant.name, case)
    found = spread(values)
    if found is None:
        return "–"
    text = f"{compact(found.median)} [{compact(found.low)}, {compact(found.high)}]"
    others = answer.values(REFERENCE, case)
    if answer.question.name == "fanout" and others and (ratio := spread(ratios(values, others))):
        text = f"{compact(ratio.median)}× ({compact(found.median)})"
    dropped = answer.figures[contestant.name, case].dropped
    return f"{text}, {compact(dropped)} dropped" if dropped else text


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of even width; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)
