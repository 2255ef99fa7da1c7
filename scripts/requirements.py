"""Print what telex and the named extras require, one requirement a line: python scripts/requirements.py chat test."""

import re
import sys
import tomllib
from pathlib import Path


def requirements(extras: list[str]) -> list[str]:
    project = tomllib.loads(Path(__file__).parent.with_name("pyproject.toml").read_text())["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    found: list[str] = list(project["dependencies"])
    waiting = list(extras)
    while waiting:
        for requirement in optional[waiting.pop()]:
            own = re.fullmatch(r"telex\[(.+)\]", requirement)
            if own:
                waiting += own[1].split(",")
            else:
                found.append(requirement)
    return sorted(set(found))


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
