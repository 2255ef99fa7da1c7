"""Forks of the process: what was open in the parent is of no use in the child, and is refused there.

A child has copies of hubs, without their threads and in a loop that nobody runs, and SQLite's notes of locks that it
does not have: what it wrote to a file that the parent had open would be acknowledged, and lost.
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
    """What is told when the process is forked."""

    def forked(self) -> None:
        """In the child: refuse all use from now on. It neither waits nor touches what it shares with the parent."""


class Forks:
    """One for the process, since Python never forgets what it is told to do at a fork."""

    def __init__(self) -> None:
        self.files: set[tuple[int, int]] = set()
        """Device and inode of the files that were open in the processes that this one was forked from."""
        self._open: WeakSet[Open] = WeakSet()
        if hasattr(os, "register_at_fork"):  # as everywhere but on Windows, which has no fork
            os.register_at_fork(after_in_child=self._forked)

    def watch(self, opened: Open) -> None:
        """Tell it of a fork, for as long as it is referred to."""
        self._open.add(opened)

    def _forked(self) -> None:
        self.files |= open_files()
        for opened in list(self._open):
            opened.forked()
        self._open.clear()


def open_files() -> set[tuple[int, int]]:
    """Device and inode of the regular files that this process has open."""
    found = set()
    with suppress(OSError):  # there is no such directory
        for name in os.listdir("/dev/fd"):  # noqa: PTH208  # in a child, as little as can be
            with suppress(OSError, ValueError):  # that of the directory itself is closed by now
                status = os.fstat(int(name))
                if S_ISREG(status.st_mode):
                    found.add((status.st_dev, status.st_ino))
    return found


FORKS: Final = Forks()
