"""The process in which one contestant is measured: it imports what that one needs, and nothing of the others.

python -m bench.worker QUESTION CONTESTANT LOOP reads one case a line and answers each with one line, both JSON.
"""

import importlib
import json
import os
import sys
from collections.abc import Coroutine
from typing import Any

from bench.question import Absent


def run(main: Coroutine[Any, Any, float]) -> float:
    """Run ``main`` on the loop that all contestants of this run share."""
    import asyncio

    if os.environ.get("BENCH_LOOP") == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)


def answer(question: str, contestant: str, case: str, quick: bool) -> dict[str, object]:
    """Return the answer of the question's ``measure``, or the reason for its absence."""
    try:
        figure, dropped = importlib.import_module(f"bench.{question}").measure(contestant, case, quick)
    except Absent as error:
        return {"absent": str(error)}
    except ModuleNotFoundError as error:
        return {"absent": f"{error.name} is not installed"}
    return {"figure": figure, "dropped": dropped}


def main() -> None:
    question, contestant = sys.argv[1:]
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer(question, contestant, asked["case"], asked["quick"])), flush=True)


if __name__ == "__main__":
    main()
