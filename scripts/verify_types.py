"""Check that every public name of telex has a complete type: pyright --verifytypes, at 100 %."""

import json
import os
import subprocess
import sys


def main() -> int:
    command = [sys.executable, "-m", "pyright", "--verifytypes", "telex", "--ignoreexternal", "--outputjson"]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    )
    if not run.stdout.strip().startswith("{"):
        sys.stderr.write(run.stdout + run.stderr)
        return run.returncode or 1
    report = json.loads(run.stdout)["typeCompleteness"]
    for symbol in report["symbols"]:
        if symbol["isExported"] and not symbol["isTypeKnown"]:
            for diagnostic in symbol["diagnostics"]:
                print(f"{symbol['name']}: {diagnostic['message']}")
    score = report["completenessScore"]
    counts = report["exportedSymbolCounts"]
    print(f"types known: {counts['withKnownType']} of {sum(counts.values())} public symbols ({score:.1%})")
    return 0 if score == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
