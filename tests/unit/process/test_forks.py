"""Forks: open objects are told in the child, and the files of the parent are known there."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from telex.process.forks import FORKS, open_files

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


class Opened:
    def __init__(self) -> None:
        self.told = 0

    def forked(self) -> None:
        self.told += 1


def in_a_child(look: Callable[[], bytes]) -> bytes:
    """The bytes that a function returns in a forked process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, look())
        finally:
            os._exit(0)
    os.close(write)
    try:
        return os.read(read, 1000)
    finally:
        os.close(read)
        os.waitpid(child, 0)


def identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def test_an_object_is_told_in_the_child_and_not_in_the_parent() -> None:
    opened = Opened()
    FORKS.watch(opened)
    FORKS.watch(opened)
    assert in_a_child(lambda: b"%d" % opened.told) == b"1"
    assert opened.told == 0


def test_a_child_of_the_child_is_told_no_more() -> None:
    opened = Opened()
    FORKS.watch(opened)
    assert in_a_child(lambda: in_a_child(lambda: b"%d" % opened.told)) == b"1"


def test_an_object_that_is_gone_is_not_kept() -> None:
    opened: Opened | None = Opened()
    assert opened is not None
    FORKS.watch(opened)
    before = sys.getrefcount(opened)
    assert before == 2, "nothing else refers to it"
    opened = None
    gc.collect()
    assert in_a_child(lambda: b"lives") == b"lives"


def test_the_files_of_the_parent_are_known_in_the_child_only(tmp_path: Path) -> None:
    (tmp_path / "open").write_text("a")
    (tmp_path / "closed").write_text("a")

    def known() -> bytes:
        return b"".join(b"%d" % (identity(tmp_path / name) in FORKS.files) for name in ("open", "closed"))

    with (tmp_path / "open").open():
        assert in_a_child(known) == b"10"
        assert known() == b"00"


def test_only_regular_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    read, write = os.pipe()
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        before = open_files()
        with (tmp_path / "file").open():
            assert open_files() - before == {identity(tmp_path / "file")}
        assert open_files() == before
        assert identity(tmp_path) not in before
    finally:
        for descriptor in (read, write, directory):
            os.close(descriptor)
