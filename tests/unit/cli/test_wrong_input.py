"""Wrong input of every kind, to every command: the documented exit code, one error with a fix, and no traceback."""

from pathlib import Path

import pytest

from telex.cli.app import run

LONG = "x" * 10_000_000
FILE = "sqlite:///good.db"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TELEX_URL", raising=False)
    (tmp_path / "rubbish.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)
    (tmp_path / "broken.py").write_text("def (:\n")
    assert run(["pub", "a", "1", "--url", FILE]) == 0
    return tmp_path


READERS = (
    ["history", "a", "--url"],
    ["topics", "--url"],
    ["groups", "--url"],
    ["triggers", "--url"],
    ["export", "--url"],
    ["follow", "a", "--timeout", "1", "--url"],
    ["check"],
    ["compact"],
    ["dashboard", "--port", "0", "--url"],
    ["chat", "--port", "0", "--url"],
)
ADDRESSES = (
    ("no file", "sqlite:///no/such.db", {1, 3}, "no/such"),
    ("rubbish", "sqlite:///rubbish.db", {3}, "is not an SQLite database|is damaged|malformed"),
    ("directory", "sqlite:///.", {1, 3}, "directory|no file"),
    ("NUL", "sqlite:///a\0b.db", {2}, "must not contain the character NUL"),
    ("long name", f"sqlite:///{LONG[:5000]}", {1, 3}, "name|cannot be opened|too long"),
    ("no scheme", "nope://x", {2, 3}, "sqlite:///file.db|does not exist"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "url", "codes", "words"), ADDRESSES, ids=[each[0] for each in ADDRESSES])
def test_a_wrong_file_is_one_error_for_every_command(
    kind: str, url: str, codes: set[int], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for reader in READERS:
        code = run([*reader, url])
        text = capfd.readouterr().err
        assert code in codes, (reader, text)
        assert "Traceback" not in text, reader
        assert any(word in text for word in words.split("|")), (reader, text)
        assert len(text) < 6000, reader


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["topics", "--server", "\udcff"], 3, "its host is not the name of a machine"),
        (["send", "x", "--server", LONG[:5000]], 3, "its host is not the name of a machine"),
        (["sub", "a", "--server", "ws://127.0.0.1:1/ws"], 3, "nothing listens there; start one"),
        (["pub", "a", "1", "--server", "ws://["], 2, "give an address such as"),
        (["triggers", "pause", "\udcff", "--url", FILE], 2, "bad name"),
        (["triggers", "pause", LONG, "--url", FILE], 2, "must have at most 255 characters"),
        (["groups", "pause", LONG, "--url", FILE], 1, "`telex groups` lists them"),
        (["history", LONG, "--url", FILE], 2, "must have at most 255 characters"),
        (["pub", "a b", "1", "--url", FILE], 2, "bad name 'a b'"),
        (["pub", "a\0", "1", "--url", FILE], 2, "bad name"),
        (["run", "broken:hub"], 2, "SyntaxError"),
        (["docs", "broken:hub"], 2, "SyntaxError"),
        (["docs", "missing:hub"], 2, "there is no module 'missing'"),
        (["run", f"{LONG[:100_000]}:hub"], 2, "there is no module"),
        (["send", "x", "{", "--no-wait", "--url", FILE], 2, "JSON"),
        (["topics", "--url", ""], 2, "--url '': name the file, --url sqlite:///file.db"),
    ],
    ids=range(16),
)
def test_wrong_arguments_are_one_error(
    arguments: list[str], code: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    text = capfd.readouterr().err
    assert words in text
    assert "Traceback" not in text
    assert len(text) < 6000
