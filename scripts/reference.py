"""Check that the built page of the reference has each name of ``docs/reference.md``, with its docstring.

``make docs`` runs this after the build. It prints the names that are missing, and exits with 1.
"""

from __future__ import annotations

import html
import inspect
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def found(name: str) -> Any:
    """Return the object of a name of the page."""
    path, *rest = name.split(".")
    thing: Any = import_module(path)
    for part in rest:
        path = f"{path}.{part}"
        thing = getattr(thing, part) if hasattr(thing, part) else import_module(path)
    return thing


def plain(text: str) -> str:
    """Return a text without the marks of code and with single spaces."""
    return " ".join(text.replace("`", "").split())


def missing_in(built: str, names: Sequence[str]) -> list[str]:
    """Return the problems of the names on a built page."""
    ids = set(re.findall(r'id="([\w.]+)"', built))
    text = plain(html.unescape(re.sub(r"<[^>]+>", "", built)))
    problems = [f"{name} has no entry" for name in names if name not in ids]
    for name in names:
        thing = found(name)
        about = inspect.getdoc(thing) if inspect.isclass(thing) or inspect.isfunction(thing) else None
        if name in ids and about and plain(re.split(r"\n\n|\*\*|\[", about)[0])[:40] not in text:
            problems.append(f"{name} is without its docstring")
    return problems


def main() -> int:
    names = re.findall(r"^::: ([\w.]+)", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE)
    problems = missing_in((ROOT / "site" / "reference" / "index.html").read_text(), names)
    print("\n".join(problems) or f"the reference has {len(names)} names")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
