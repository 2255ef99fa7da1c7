"""The benchmarks' arithmetic, tables and picture; and that every contestant runs."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import chart, report
from bench.__main__ import QUESTIONS
from bench.bars import BARS, Bar, Verdict, handler_allowance, judge
from bench.fanout import QUESTION as FANOUT
from bench.latency import QUESTION as LATENCY
from bench.postgres_server import SHARED
from bench.question import Answer, Figures
from bench.ratios import Spread, compact, ratios, spread
from tests.support.postgres import server

ROOT = Path(__file__).parents[2]
ABOUT: dict[str, object] = {
    "processor": "P",
    "cores": 2,
    "system": "S",
    "python": "Y",
    "go": None,
    "event loop": "asyncio",
    "load before": 0.5,
}
ABOUT |= {"packages": {"telex": "0.1"}}


def fan_out(rounds: int = 3, without: str = "") -> Answer:
    """An answer in which contestant number ``n`` delivers (n + 1) thousand in the first round, and so on."""
    answer = Answer(FANOUT)
    for number, contestant in enumerate(FANOUT.contestants):
        if contestant.name == without:
            answer.absent[without] = "no <Go> & no hope"
            continue
        for case in FANOUT.cases:
            values = [1000.0 * (number + 1) * (turn + 1) for turn in range(rounds)]
            answer.figures[contestant.name, case] = Figures(values, dropped=number)
    return answer


def test_ratios_are_made_within_a_round() -> None:
    # In the second round the machine was ten times slower, for both.
    assert ratios([100.0, 10.0, 120.0], [50.0, 5.0, 60.0]) == [2.0, 2.0, 2.0]


def test_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_spread_is_the_median_and_the_ends() -> None:
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0, 3)
    assert spread([]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.00123, "0.0012"),
        (0.25, "0.25"),
        (9.999, "10.0"),
        (99.96, "100"),
        (999.4, "999"),
        (999.9, "1.00 k"),
        (15_249, "15.2 k"),
        (6.4e6, "6.40 M"),
        (2e9, "2.00 G"),
        (-1500.0, "-1.50 k"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(("bound", "limit", "holds"), [("at least", 2.0, True), ("at least", 2.1, False)])
def test_the_median_decides(bound: str, limit: float, holds: bool) -> None:
    bar = Bar("fanout", "x", "telex_batches", "1", None, "at least" if bound == "at least" else "at most", limit)
    assert Verdict(bar, Spread(2.0, 0.1, 9.0, 3)).holds is holds


def test_at_most_is_the_other_way() -> None:
    bar = Bar("memory", "x", "telex", "million", None, "at most", 2.0)
    assert Verdict(bar, Spread(2.0, 0.1, 9.0, 3)).holds
    assert not Verdict(bar, Spread(2.1, 0.1, 9.0, 3)).holds


def test_a_bar_without_its_peer_says_why() -> None:
    verdicts = [v for v in judge(fan_out(without="go_seed")) if v.bar.over and "Go" in v.bar.what]
    assert verdicts
    assert {v.word for v in verdicts} == {"not measured: no <Go> & no hope"}
    assert {v.holds for v in verdicts} == {None}


def test_every_bar_is_about_something_that_is_measured() -> None:
    from importlib import import_module

    for bar in BARS:
        question = import_module(f"bench.{bar.question}").QUESTION
        pairs = [(bar.contestant, bar.case), *([bar.over] if isinstance(bar.over, tuple) else [])]
        for name, case in pairs:
            found = [c for c in question.contestants if c.name == name]
            assert found, bar
            assert case in question.cases, bar
            assert question.takes_part(found[0], case), bar


@pytest.mark.parametrize(("call", "queue", "allowed"), [(0.2, 5.0, 10.0), (9.0, 5.0, 12.0)])
def test_a_handler_may_take_the_larger_of_two_bounds(call: float, queue: float, allowed: float) -> None:
    answer = Answer(LATENCY)
    answer.figures["bare_call", "handler"] = Figures([call])
    answer.figures["asyncio_queue", "handler"] = Figures([queue])
    assert handler_allowance(answer) == [allowed]


def test_the_tables_show_everyone() -> None:
    answer = fan_out(without="go_seed")
    page = report.markdown([answer], judge(answer), ABOUT)
    for contestant in FANOUT.contestants:
        assert contestant.label in page
    assert "MISSES" in page
    assert "not measured: no <Go> & no hope" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == len(judge(answer)) + 2 + len(FANOUT.contestants) + 2


def test_the_data_holds_every_round() -> None:
    answer = fan_out(without="bubus_bus")
    data = json.loads(json.dumps(report.as_data([answer], judge(answer), ABOUT)))
    contestants = data["questions"]["fanout"]["contestants"]
    assert contestants["telex_batches"]["cases"]["1"] == {
        "median": 2000.0,
        "rounds": [1000.0, 2000.0, 3000.0],
        "dropped": 0,
    }
    assert contestants["bubus_bus"]["not measured"]
    assert {bar["holds"] for bar in data["bars"]} == {False, None}
    assert {bar.get("not measured") for bar in data["bars"] if bar["holds"] is None} == {"no <Go> & no hope"}


@pytest.mark.parametrize("without", ["", "go_seed"])
def test_the_picture_is_well_formed_and_in_its_frame(without: str) -> None:
    root = ET.fromstring(chart.draw(fan_out(without=without)))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for element in root.iter():
        for name in ("x", "x1", "x2"):
            assert 0 <= float(element.get(name, 0)) <= width
        for name in ("y", "y1", "y2"):
            assert 0 <= float(element.get(name, 0)) <= height
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    for contestant in FANOUT.contestants:
        assert texts.count(contestant.label) == len(FANOUT.cases)
    assert ("not measured: no <Go> & no hope" in texts) == bool(without)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_unknown_question_is_told() -> None:
    ran = run("speed")
    assert ran.returncode == 2
    assert "there is no question 'speed'" in ran.stderr


@pytest.mark.slow
def test_a_quick_run_writes_everything(tmp_path: Path) -> None:
    local = [name for name in QUESTIONS if not name.startswith("postgres")]
    ran = run(*local, "--quick", "--into", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    data = json.loads((tmp_path / "results.json").read_text())
    assert list(data["questions"]) == local
    # telex and asyncio are always there; who is not says so.
    for name, question in data["questions"].items():
        for contestant, about in question["contestants"].items():
            assert about["cases"] or about["not measured"], f"{name}: {contestant}"
        for contestant in ("telex_batches", "telex_iterate", "telex", "asyncio_queue"):
            assert "not measured" not in question["contestants"].get(contestant, {})
    for about in data["questions"]["fanout"]["contestants"].values():
        assert all(case["dropped"] == 0 for case in about["cases"].values())
    ET.parse(tmp_path / "results.svg")
    page = (tmp_path / "results.md").read_text()
    assert "## Bars" in page
    assert "its figures say nothing" in page


@pytest.mark.slow
def test_quick_questions_about_postgres_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in QUESTIONS if name.startswith("postgres")]
    with server() as conninfo:
        monkeypatch.setenv(SHARED, conninfo)
        ran = run(*names, "--quick", "--json")
    assert ran.returncode == 0, ran.stderr
    questions = json.loads(ran.stdout)["questions"]
    assert list(questions) == names
    for name in names:
        contestants = questions[name]["contestants"]
        assert any(about["cases"] for about in contestants.values()), name
        assert all(about["cases"] or about["not measured"] for about in contestants.values()), name


@pytest.mark.slow
def test_one_question_is_printed_as_json() -> None:
    ran = run("publish_cost", "--quick", "--json", "--rounds", "2", "--loop", "uvloop")
    assert ran.returncode == 0, ran.stderr
    data = json.loads(ran.stdout)
    assert data["machine"]["event loop"] == "uvloop"
    assert len(data["questions"]["publish_cost"]["contestants"]["telex"]["cases"]["1"]["rounds"]) == 2
