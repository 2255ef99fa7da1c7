"""Check that every public name of telex has a complete type: pyright --verifytypes, at 100 %."""

import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    command = [sys.executable, "-m", "pyright", "--verifytypes", "telex", "--ignoreexternal", "--outputjson"]
    # Pyright asks the `python` that it finds on PATH where packages are; it has to be this one.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if not run.stdout.strip().startswith("{"):
        sys.stderr.write(run.stdout + run.stderr)
        return run.returncode or 1
    report = json.loads(run.stdout)["typeCompleteness"]
    unknown = {
        (
            diagnostic.get("file", symbol["name"]),
            diagnostic.get("range", {}).get("start", {}).get("line", -1) + 1,
            message,
        )
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
        for diagnostic in symbol["diagnostics"]
        for message in [f"{symbol['name']}: {' '.join(diagnostic['message'].split())}"]
    }
    # A missing annotation makes all types that mention it unknown: show the missing annotations first.
    causes = {line for line in unknown if "missing type annotation" in line[2]}
    for file, number, message in sorted(causes or unknown):
        print(f"{file}:{number}: {message}")
    score = report["completenessScore"]
    counts = report["exportedSymbolCounts"]
    print(f"types known: {counts['withKnownType']} of {sum(counts.values())} public symbols ({score:.1%})")
    return 0 if score == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
