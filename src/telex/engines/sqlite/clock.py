"""The clock of a file, by which leases and heartbeats are judged: all processes that have the file open share it, and
nobody sets it.

It is the monotonic clock of the machine, which all of its processes see, plus an offset that is kept in the file, so
that it began near the time of day. The offset is valid for one boot, since the monotonic clock begins again with each
boot. Where boots cannot be distinguished, the time of day is used.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import monotonic, time

import msgspec

BUCKET, KEY = "$clock", "boot"
BOOT = Path("/proc/sys/kernel/random/boot_id")
_GET = "SELECT value FROM telex_records WHERE bucket = ? AND key = ?"
_SET = "INSERT OR REPLACE INTO telex_records (bucket, key, value, revision) VALUES (?, ?, ?, 1)"
_LAPSE = "UPDATE telex_claims SET due = ? WHERE state = 1"


class Offset(msgspec.Struct, frozen=True):
    """The offset of one boot, in seconds."""

    boot: str
    seconds: float


class Clock:
    """The clock, once `join` was called: in the thread that writes, before the file is used."""

    def __init__(self, boot: Path = BOOT) -> None:
        self._boot = boot
        self._offset: float | None = None

    def now(self) -> float:
        """Seconds since 1970, as they were before anybody set a clock."""
        return time() if self._offset is None else self._offset + monotonic()

    def join(self, connection: sqlite3.Connection) -> None:
        """Take the offset of this boot from the file, or keep one. Inside of a write transaction."""
        boot = _read_boot(self._boot)
        if not boot:
            return
        known = _read(connection)
        if known is None or known.boot != boot:
            known = Offset(boot, time() - monotonic())
            connection.execute(_SET, (BUCKET, KEY, msgspec.json.encode(known)))
            # Workers with a lease from before this boot are dead, and its end was measured by another clock.
            connection.execute(_LAPSE, (known.seconds + monotonic(),))
        self._offset = known.seconds


def _read(connection: sqlite3.Connection) -> Offset | None:
    row = connection.execute(_GET, (BUCKET, KEY)).fetchone()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row[0], type=Offset)
    except (msgspec.DecodeError, TypeError):
        return None  # the file was damaged there: it is as new


def _read_boot(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
