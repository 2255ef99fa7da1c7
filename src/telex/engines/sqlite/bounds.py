"""`FileBounds`: how much the engine of a file does at once, and how long it waits."""

from __future__ import annotations

import msgspec


class FileBounds(msgspec.Struct, frozen=True):
    """Bounds of one engine. The defaults suit every program; tests choose small ones."""

    read_rows: int = 1024
    """Messages of other processes that are read at once."""
    read_bytes: int = 16 * 1024 * 1024
    """Bytes of their contents that are read at once."""
    read_pauses: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """Seconds before each retry of a read, while memory, descriptors or the disk are short; then the engine fails."""
    watch_seconds: float = 1.0
    """Seconds between two looks into the file where the kernel notifies of changes."""
    rewatch_seconds: float = 0.25
    """Seconds until the file is watched again after an error."""
    delay_seconds: float = 1.0
    """Seconds until a delayed message that could not be published is tried again."""
    transaction_seconds: float = 30.0
    """Seconds that a program's transaction may take."""
    young_seconds: float = 2.0
    """Seconds for which no message is deleted, so that other processes have read it by then."""
    sweep_messages: int = 256
    """A topic is swept when it has so many messages to delete."""
    page_messages: int = 1024
    """Places of the file, or messages of a topic, in one page of a claim."""
    pages: int = 16
    """Pages in one claim."""
    floor_messages: int = 8 * 1024
    """Messages of other topics above the floor of a group, after which the floor is written without a claim."""
    behind_messages: int = 10_000
    """Messages of a group that wait behind another one of their key. When there are more, the group looks at no new
    messages: a key whose messages are never acknowledged shall not make it hold the whole topic."""
    near_messages: int = 8192
    """Messages that are counted one by one, rather than by searching for their numbers in each topic."""


BOUNDS: FileBounds = FileBounds()
