"""Forks of the process: hubs and files that were open in the parent are refused in the child.

A child has copies of the hubs, but not their threads, and their event loop does not run. SQLite in the child would also
rely on locks that the child does not have: it would acknowledge writes and lose them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from stat import S_ISREG
from typing import Final, Protocol
from weakref import WeakSet

HUB = (
    "it was opened in the process that this one was forked from; open a hub in this process, and start such processes "
    "by multiprocessing's 'spawn' or 'forkserver'"
)
FILE = (
    "this process was forked from one that had the file open, and SQLite's locks do not hold in it; start it by "
    "multiprocessing's 'spawn' or 'forkserver', or fork before anything opens the file"
)


class Open(Protocol):
    """An object that has to be closed in a forked process."""

    def forked(self) -> None:
        """Refuse all use from now on. Called in the child; neither waits nor touches resources shared with the
        parent."""


class Forks:
    """The registry of open objects. There is one for the process, since a callback at forks cannot be removed."""

    def __init__(self) -> None:
        self.files: set[tuple[int, int]] = set()
        """Device and inode of the files that were open in the processes that this one was forked from."""
        self._open: WeakSet[Open] = WeakSet()
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
            os.register_at_fork(after_in_child=self._forked)

    def watch(self, opened: Open) -> None:
        """Call ``opened.forked()`` in forked processes, as long as ``opened`` is referred to."""
        self._open.add(opened)

    def _forked(self) -> None:
        self.files |= open_files()
        for opened in list(self._open):
            opened.forked()
        self._open.clear()


def open_files() -> set[tuple[int, int]]:
    """Return device and inode of the regular files that this process has open."""
    found = set()
    with suppress(OSError):  # the directory does not exist
        for name in os.listdir("/dev/fd"):  # noqa: PTH208  # in a child, as little as possible is imported
            with suppress(OSError, ValueError):  # the descriptor of the directory itself is closed by now
                status = os.fstat(int(name))
                if S_ISREG(status.st_mode):
                    found.add((status.st_dev, status.st_ino))
    return found


FORKS: Final = Forks()
