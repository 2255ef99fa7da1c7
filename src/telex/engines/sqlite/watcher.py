"""`Watcher`: the thread that notices commits of other processes, and costs nothing without commits.

Each commit writes to the file beside the database whose name ends in ``-wal``. On Linux the kernel notifies of this
(inotify(7)). Elsewhere, and without inotify, the thread asks SQLite a hundred times a second.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import sqlite3
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep

from telex.engines.sqlite import files, problems
from telex.engines.sqlite.address import FileAddress
from telex.engines.sqlite.writer import Writer

logger: logging.Logger = logging.getLogger("telex")
POLL = 0.01
"""The seconds between two checks without notifications."""
STEP = 0.002
"""The seconds between two checks after a notification: a commit is visible shortly after it is written."""
AWAKE = 0.1
"""The seconds for which these checks continue."""
_IN_MODIFY = 0x2
_IN_NONBLOCK = 0o4000
_IN_CLOEXEC = 0o2000000


class Watcher:
    """The watching thread. `close` ends it shortly."""

    def __init__(
        self,
        address: FileAddress,
        writer: Writer,
        noticed: Callable[[int], None],
        failed: Callable[[BaseException], None],
        post: Callable[..., None],
    ) -> None:
        self._address = address
        self._writer = writer
        self._noticed = noticed
        self._failed = failed
        self._post = post
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._rope, False)
        self._closing = False
        self._known = -1  # the value of `telex_state.commits` at the last call
        self.thread: threading.Thread = threading.Thread(target=self._run, name="telex-sqlite-watcher", daemon=True)

    def close(self) -> None:
        """End the thread. It may be called twice."""
        if not self._closing:
            os.write(self._rope, b"x")  # first: the thread closes the pipe once it sees the flag
            self._closing = True

    def dispose(self) -> None:
        """Release the descriptor that wakes the thread, after the thread has ended."""
        os.close(self._bell)
        os.close(self._rope)

    def _run(self) -> None:
        try:
            self._watch_again_and_again()
        except BaseException as error:  # noqa: BLE001  # without watching the hub would miss messages, so it fails
            self._post(self._failed, error)

    def _watch_again_and_again(self) -> None:
        """Watch until `close`. After an error, such as a lack of descriptors, watch again."""
        self._known = self._writer.claimed
        said = ""
        while not self._closing:
            try:
                self._watch_once()
            except BaseException as error:
                if problems.is_fatal(error):
                    raise
                text = problems.explain(error)
                if text != said:  # an error that lasts is logged once
                    logger.error("commits of other processes to %s are not noticed: %s", self._address.path, text)
                said = text
                sleep(0.0 if self._closing else self._address.bounds.rewatch_seconds)

    def _watch_once(self) -> None:
        notify = _inotify()
        connection: sqlite3.Connection | None = None
        try:
            connection = files.reading(self._address)
            self._watch(connection, notify)
        finally:
            if connection is not None:
                connection.close()
            if notify is not None:
                os.close(notify)

    def _watch(self, connection: sqlite3.Connection, notify: int | None) -> None:
        watched = notify is not None and _watch_file(notify, self._address.path + "-wal")
        poll = select.poll()
        for descriptor in (self._bell, notify if watched else None):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        safety = self._address.bounds.watch_seconds
        version, awake, checked = -1, monotonic() + AWAKE, 0.0
        while not self._closing:
            pause = (STEP if monotonic() < awake else safety) if watched else POLL
            for descriptor, _ in poll.poll(pause * 1000):
                if descriptor == notify:
                    os.read(descriptor, 65536)
                    awake = monotonic() + AWAKE
            if monotonic() >= checked + safety:  # the writing thread checks after each commit
                self._writer.place.check()
                checked = monotonic()
            (seen,) = connection.execute("PRAGMA data_version").fetchone()
            if seen == version:
                continue
            version = seen
            commits, pos = connection.execute("SELECT commits, pos FROM telex_state").fetchone()
            # Commits of this process are known, and its own transactions noticed the commits before them.
            if commits > max(self._known, self._writer.claimed):
                self._post(self._noticed, pos)
            self._known = max(self._known, commits)


def _inotify() -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    descriptor = _libc().inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
    return descriptor if descriptor >= 0 else None


def _watch_file(descriptor: int, path: str) -> bool:
    return bool(_libc().inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) >= 0)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
    return libc
