"""The clock of a file, for leases and heartbeats. All processes that have the file open share it, and nobody sets it.

It is the monotonic clock of the machine, which all its processes share, plus an offset that is stored in the file, so
that it starts near the time of day. The offset is valid for one boot, since the monotonic clock starts again at each
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
    """The offset between the monotonic clock and seconds since 1970 for one boot."""

    boot: str
    seconds: float


class Clock:
    """The clock. `join` is called first, in the writing thread, before the file is used."""

    def __init__(self, boot: Path = BOOT) -> None:
        self._boot = boot
        self._offset: float | None = None

    def now(self) -> float:
        """Return seconds since 1970, without later changes of the system's clock."""
        return time() if self._offset is None else self._offset + monotonic()

    def join(self, connection: sqlite3.Connection) -> None:
        """Read the offset of this boot from the file, or store one. Inside of a write transaction."""
        boot = _read_boot(self._boot)
        if not boot:
            return
        known = _read(connection)
        if known is None or known.boot != boot:
            known = Offset(boot, time() - monotonic())
            connection.execute(_SET, (BUCKET, KEY, msgspec.json.encode(known)))
            # Workers with a lease from before this boot are dead, and their leases were measured by another clock.
            connection.execute(_LAPSE, (known.seconds + monotonic(),))
        self._offset = known.seconds


def _read(connection: sqlite3.Connection) -> Offset | None:
    row = connection.execute(_GET, (BUCKET, KEY)).fetchone()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row[0], type=Offset)
    except (msgspec.DecodeError, TypeError):
        return None  # this part of the file was damaged: it is treated as new


def _read_boot(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
