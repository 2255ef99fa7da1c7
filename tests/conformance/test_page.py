"""The table of engines and guarantees on docs/engines.md is what the engines declare."""

import re
from pathlib import Path

from telex.engines import Guarantees, engine_for

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
URLS = ("memory://", "sqlite:///file.db", "postgresql://user@host/db")


def rows() -> list[str]:
    """The table as it has to be."""
    engines = [engine_for(url).guarantees for url in URLS]
    head = ["| guarantee | " + " | ".join(f"`{url}`" for url in URLS) + " |", "| --- |" + " --- |" * len(URLS)]
    return head + [
        f"| {name} | " + " | ".join("yes" if getattr(declared, name) else "–" for declared in engines) + " |"
        for name in Guarantees.__struct_fields__
    ]


def test_the_table_shows_the_declared_guarantees() -> None:
    table = "\n".join(rows())
    assert table in PAGE.read_text(), f"the table of {PAGE.name} has to be\n{table}"


def test_every_guarantee_is_explained() -> None:
    explained = re.findall(r"^- \*\*(\w+)\*\*: ", PAGE.read_text(), re.MULTILINE)
    assert explained == list(Guarantees.__struct_fields__)
