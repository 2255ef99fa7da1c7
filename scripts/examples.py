"""Write the files of docs/examples into the pages that show them: python scripts/examples.py.

On a page, a block with the title `docs/examples/NAME` or `examples/NAME` holds that file.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
BLOCK = re.compile(r'^(```\w+ title="((?:docs/)?examples/[\w./-]+)"\n)(.*?)^```$', re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str) -> list[str]:
    """The files that a page shows."""
    return [match[2] for match in BLOCK.finditer(text)]


def filled(text: str) -> str:
    """The page with every block as its file is now."""
    return BLOCK.sub(lambda match: f"{match[1]}{(ROOT / match[2]).read_text()}```", text)


def main() -> None:
    for page in pages():
        text = page.read_text()
        if filled(text) != text:
            page.write_text(filled(text))
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
