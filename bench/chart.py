"""The picture of the fan-out: one panel a number of subscribers, bars of one linear scale, drawn as plain SVG.

It brings its own background, and the colours of a dark page where one is asked for: a page that embeds it has no say in
its style.
"""

from xml.sax.saxutils import escape

from bench.question import Answer, Contestant
from bench.ratios import Spread, compact, spread

WIDTH = 880
MARGIN = 28
LABELS = 212
VALUES = 118
ROW = 22
BAR = 13
HEAD = 92
GAP = 46
FOOT = 40

STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
  .page { fill: #ffffff; stroke: #d9dee4; }
  .title { fill: #17202a; font-size: 19px; font-weight: 650; }
  .note, .unit { fill: #5b6672; font-size: 12.5px; }
  .panel { fill: #17202a; font-size: 14px; font-weight: 600; }
  .label, .value { fill: #2d3742; font-size: 12.5px; }
  .value { font-variant-numeric: tabular-nums; }
  rect.ours { fill: #0b6bcb; }
  rect.theirs { fill: #a9b4c0; }
  rect.calls { fill: #e6eaee; stroke: #a9b4c0; }
  text.ours { fill: #0b5cad; font-weight: 650; }
  .axis { stroke: #cfd6dd; }
  .spread { stroke: #2d3742; stroke-width: 1.2; opacity: 0.55; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #12171d; stroke: #2b343e; }
    .title, .panel { fill: #eef2f6; }
    .note, .unit { fill: #9aa7b4; }
    .label, .value { fill: #cdd6df; }
    rect.ours { fill: #3b97f5; }
    rect.theirs { fill: #66727f; }
    rect.calls { fill: #222a33; stroke: #66727f; }
    text.ours { fill: #7fbdff; }
    .axis { stroke: #36414c; }
    .spread { stroke: #eef2f6; }
  }
"""


def draw(answer: Answer) -> str:
    """The picture, as the text of an SVG file."""
    cases = list(answer.question.cases.items())
    rows = len(answer.question.contestants)
    panel = rows * ROW + GAP
    height = HEAD + panel * len(cases) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
        ' role="img" aria-labelledby="title summary">',
        f'<title id="title">{escape(answer.question.title)}</title>',
        f'<desc id="summary">{escape(_summary(answer))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text(MARGIN, 36, "title", "Deliveries a second in one process"),
        _text(MARGIN, 57, "note", "One publisher, bursts of 64 messages, each for every subscriber. Longer is better."),
        *_legend(),
    ]
    for number, (case, label) in enumerate(cases):
        parts += _panel(answer, case, label, HEAD + number * panel)
    parts.append(_text(MARGIN, height - 18, "note", _foot(answer)))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _legend() -> list[str]:
    """The legend of the three kinds of bar."""
    kinds = {
        "ours": "telex",
        "theirs": "tasks that wait",
        "calls": "functions called while it publishes: no buffer, no task",
    }
    x, y, parts = float(MARGIN), 80, []
    for kind, text in kinds.items():
        parts.append(f'<rect class="{kind}" x="{x + 0.5:g}" y="{y - 9.5}" width="11" height="10" rx="2"/>')
        parts.append(_text(x + 18, y, "note", text))
        x += 40 + 6.4 * len(text)
    return parts


def _row_figures(answer: Answer, case: str) -> list[tuple[Contestant, Spread | None]]:
    """Contestants with their spreads, the most first, those without a figure last."""
    rows = [(c, spread(answer.values(c.name, case))) for c in answer.question.contestants]
    return sorted(rows, key=lambda row: -row[1].median if row[1] else 0.0)


def _panel(answer: Answer, case: str, label: str, y: float) -> list[str]:
    left, right = MARGIN + LABELS, WIDTH - MARGIN - VALUES
    rows = _row_figures(answer, case)
    best = max((found.high for _, found in rows if found), default=1.0)
    parts = [_text(MARGIN, y + 20, "panel", label)]
    y += 32
    parts.append(f'<line class="axis" x1="{left}" y1="{y - 3}" x2="{left}" y2="{y + len(rows) * ROW - 4}"/>')
    for contestant, found in rows:
        whose = "ours" if contestant.name.startswith("telex") else "calls" if contestant.calls else "theirs"
        middle = y + BAR / 2 + 1
        parts.append(_text(left - 10, middle + 4, f"label {whose}", contestant.label, anchor="end"))
        if found is None:
            why = answer.absent.get(contestant.name, "no figure")
            parts.append(_text(left + 8, middle + 4, "note", f"not measured: {why}"))
        else:
            parts += _bar(found, best, left, right, y, whose)
        y += ROW
    return parts


def _bar(found: Spread, best: float, left: float, right: float, y: float, whose: str) -> list[str]:
    def at(value: float) -> float:
        return round(left + (right - left) * value / best, 1)

    middle, end = y + BAR / 2 + 1, at(found.median)
    parts = [f'<rect class="{whose}" x="{left}" y="{y + 1}" width="{max(1.5, end - left):.1f}" height="{BAR}" rx="2"/>']
    if at(found.high) - at(found.low) >= 2:
        parts.append(f'<line class="spread" x1="{at(found.low)}" y1="{middle}" x2="{at(found.high)}" y2="{middle}"/>')
    parts.append(_text(max(at(found.high), end) + 8, middle + 4, f"value {whose}", compact(found.median)))
    return parts


def _text(x: float, y: float, kind: str, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _summary(answer: Answer) -> str:
    lines = []
    for case, label in answer.question.cases.items():
        figures = [f"{c.label} {compact(found.median)}" for c, found in _row_figures(answer, case) if found]
        lines.append(f"{label}: {', '.join(figures)}")
    return ". ".join(lines)


def _foot(answer: Answer) -> str:
    rounds = max((len(found.values) for found in answer.figures.values()), default=0)
    many = f"{rounds} rounds taken in turns" if rounds != 1 else "1 round"
    return f"Medians of {many}, one run, one machine; thin lines from lowest to highest. Each panel has its own scale."
