"""The engine that a URL names, also one of another package."""

import sys
from pathlib import Path

import pytest

import telex
from telex.engines import engine_for

PACKAGE = """
from telex.engines.memory.engine import MemoryEngine

def make(url):
    engine = MemoryEngine()
    engine.url = url
    return engine
"""


def test_an_engine_of_another_package_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere_engine.py").write_text(PACKAGE)
    metadata = tmp_path / "elsewhere-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[telex.engines]\nelsewhere = elsewhere_engine:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = engine_for("elsewhere://host/name")
    assert vars(engine)["url"] == "elsewhere://host/name"
    assert telex.Hub("elsewhere://host").statistics().topics == 0
    sys.modules.pop("elsewhere_engine")


@pytest.mark.parametrize("url", ["kafka://user:secret@host", "nothing"])
def test_a_scheme_that_nobody_serves_is_refused_without_its_address(url: str) -> None:
    with pytest.raises(telex.BadOption, match=r"sqlite:///file\.db") as raised:
        engine_for(url)
    assert "secret" not in str(raised.value)
