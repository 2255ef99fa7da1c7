"""`python -m tests.mutants`; the package's docstring and CONTRIBUTING.md say what it does."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.mutants import cover, hand, kernel, sample


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Put bugs in and see the tests fail.")
    parser.add_argument("--examine", metavar="POLICY", help="run the state machines of the kernel on this telex")
    parser.add_argument("--table", action="store_true", help="write the list of the kernel's bugs for CONTRIBUTING.md")
    parser.add_argument("--hand", action="store_true", help="put in the bugs of tests/mutants/hand.py")
    parser.add_argument("--only", default="", metavar="TEXT", help="those of them with this text in them")
    parser.add_argument("--sample", type=int, metavar="N", help="put in N generated bugs")
    parser.add_argument("--seed", type=int, default=1, help="which are drawn, or examined first (1)")
    parser.add_argument("--package", action="append", default=[], metavar="P", help="only of this package: log, once")
    parser.add_argument(
        "--budget", type=float, default=sample.BUDGET_SECONDS, metavar="S", help="seconds of tests for each"
    )
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("JOBS") or 1), help="processes at once (1)")
    parser.add_argument("--record", action="store_true", help="record anew which tests cover what, all of them")
    parser.add_argument("--as-recorded", action="store_true", help="record nothing anew, though tests have changed")
    parser.add_argument("--again", type=Path, metavar="FILE", help="of a file of --json, those that were not found")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found to a file")
    options = parser.parse_args()
    if options.examine:
        return kernel.examine(options.examine, options.seed)
    if options.hand:
        return hand.put_in_all(options.only, options.jobs)
    if options.sample is None and options.again is None:
        return kernel.put_in_all(options.table)
    if not options.as_recorded:
        cover.record_all(options.jobs, everything=options.record)
    if options.again is not None:
        drawn = sample.survivors(options.again)
    else:
        drawn = sample.draw(options.sample, options.seed, options.package)
    verdicts = sample.judge_all(drawn, sample.Selection(cover.load(), options.budget, sample.collected()), options.jobs)
    print(f"\nseed {options.seed}, {len(drawn)} mutants drawn\n{sample.report(verdicts)}")
    if options.json is not None:
        options.json.write_text(sample.as_json(verdicts, options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
