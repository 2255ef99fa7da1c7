"""`FileBounds`: the batch sizes and waiting times of the engine of a file."""

from __future__ import annotations

import msgspec


class FileBounds(msgspec.Struct, frozen=True):
    """Bounds of one engine. The defaults suit every program; tests choose small ones."""

    read_rows: int = 1024
    """The messages of other processes that are read at once."""
    read_bytes: int = 16 * 1024 * 1024
    """The bytes of their contents that are read at once."""
    read_pauses: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """Seconds before each retry of a read, while memory, descriptors or the disk are short; then the engine fails."""
    watch_seconds: float = 1.0
    """The seconds between two checks of the file where the kernel notifies of changes."""
    rewatch_seconds: float = 0.25
    """The seconds until the file is watched again after an error."""
    delay_seconds: float = 1.0
    """The seconds until a delayed message that could not be published is tried again."""
    transaction_seconds: float = 30.0
    """The seconds that a program's transaction may take."""
    young_seconds: float = 2.0
    """The seconds for which no message is deleted, so that other processes can read it."""
    sweep_messages: int = 256
    """The number of expired messages at which a topic is swept."""
    page_messages: int = 1024
    """The places of the file, or messages of a topic, in one page of a claim."""
    pages: int = 16
    """The pages in one claim."""
    floor_messages: int = 8 * 1024
    """Messages of other topics above the floor of a group, after which the floor is written without a claim."""
    behind_messages: int = 10_000
    """The largest number of messages of a group that wait for an earlier message of their key. With more the group
    claims no new messages, so that a key that is never acknowledged does not make it claim the whole topic.
    """
    near_messages: int = 8192
    """The largest number of messages that are counted one by one; more are counted by searching in each topic."""


BOUNDS: FileBounds = FileBounds()
