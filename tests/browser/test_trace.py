"""One trace from a page through the gateway and three programs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.browser.conftest import People

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
ORDER = """async () => {
    const { Wire } = await import("/wire.js");
    const two = (byte) => byte.toString(16).padStart(2, "0");
    const hex = (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))].map(two).join("");
    const [trace, span] = [hex(16), hex(8)];
    const receipt = await new Promise((resolve, reject) => {
        const wire = new Wire(`ws://${location.host}/ws`, {
            state: () => {},
            frame: (frame) => frame.op === "messages" && resolve(frame),
            greet: async () => {
                await wire.request({ op: "subscribe", topic: "receipts:web" });
                const headers = { traceparent: `00-${trace}-${span}-01`, "correlation-id": "order 7" };
                await wire.request({ op: "publish", topic: "orders:web", content: 7, headers });
            },
        });
        wire.start();
        setTimeout(() => reject(new Error("no receipt came")), 20000);
    });
    return { trace, span, receipt };
}"""


@contextmanager
def program(role: str, url: str, spans: Path) -> Iterator[str]:
    """A program that runs until this ends, and the line that it prints when it is ready."""
    command = [sys.executable, "-m", "tests.support.traced", role, url, str(spans)]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            yield running.stdout.readline()
        finally:
            running.stdin.close()
            assert running.wait(20) == 0


def tree(spans: list[dict[str, Any]]) -> str:
    """The spans as lines, each below its parent."""

    def below(parent: str | None, depth: int) -> Iterator[str]:
        for span in sorted((each for each in spans if each["parent"] == parent), key=lambda each: each["start"]):
            yield f"{'  ' * depth}{span['name']:{44 - 2 * depth}}{span['program']}"
            yield from below(span["span"], depth + 1)

    return "\n".join(below(None, 0))


def test_a_page_and_the_programs_behind_it_are_one_trace(people: People, tmp_path: Path) -> None:
    url, spans = f"sqlite:///{tmp_path}/shop.db", tmp_path / "spans.jsonl"
    with ExitStack() as programs:
        port = programs.enter_context(program("gateway", url, spans)).split()[1]
        for role in ("shop", "billing"):
            assert programs.enter_context(program(role, url, spans)) == "ready\n"
        page = people()
        page.goto(f"http://127.0.0.1:{port}/")
        found = page.evaluate(ORDER)
        page.close()
    message = found["receipt"]["messages"][0]
    assert message["headers"]["traceparent"][3:35] == found["trace"]
    assert message["headers"]["correlation-id"] == "order 7"
    exported = [json.loads(line) for line in spans.read_text().splitlines()]
    root = {"program": "browser", "name": "order", "parent": None, "start": 0}
    exported.append(root | {"trace": found["trace"], "span": found["span"]})
    assert {each["trace"] for each in exported} == {found["trace"]}
    shown = tree(exported)
    assert len(shown.splitlines()) == len(exported)
    assert shown in PAGE.read_text(), shown
