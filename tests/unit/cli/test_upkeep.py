"""`telex check` and `telex compact`."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("command", ["check", "compact"])
def test_a_file_is_named_by_its_path_or_its_url(
    telex: Telex, shop_url: str, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "shop.db")
    for given in ((path,), ("--url", shop_url), (shop_url,)):
        ran = telex(command, *given)
        assert (ran.code, ran.err) == (0, "")
        assert path in ran.out
    assert telex(command).code == 2
    assert telex(command, path, "--url", shop_url).code == 2
    assert telex(command, "--url", "sqlite:///there/is/none.db").code == 1
    monkeypatch.setenv("TELEX_URL", shop_url)
    assert telex(command).code == 0
    assert telex(command, path).code == 0
