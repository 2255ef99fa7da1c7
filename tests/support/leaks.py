"""Leftovers that fail a test."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

DESCRIPTORS = "/proc/self/fd"
HAS_DESCRIPTORS = Path(DESCRIPTORS).exists()


def descriptor_names() -> set[str]:
    """The numbers of the files and sockets this process has open, where the system tells it (Linux); else none."""
    if not HAS_DESCRIPTORS:
        return set()
    # Each test asks twice, so nothing is read of each descriptor.
    names = os.listdir(DESCRIPTORS)  # noqa: PTH208
    own = os.dup(2)  # the listing's own number, the lowest that is free
    os.close(own)
    return {*names} - {str(own)}


def open_descriptors() -> list[str]:
    """The files and sockets this process has open, as `descriptor_names`."""
    return targets(descriptor_names())


def targets(names: Iterable[str]) -> list[str]:
    """What the descriptors with these numbers are open to. One that is closed is left out."""
    found = []
    for name in names:
        with suppress(FileNotFoundError):  # closed by another thread
            found.append(os.readlink(f"{DESCRIPTORS}/{name}"))  # noqa: PTH115
    return found


def sockets(names: Iterable[str]) -> list[str]:
    """The sockets among the descriptors with these numbers."""
    return [target for target in targets(names) if target.startswith("socket:")]
