"""Leftovers that fail a test."""

import os
from pathlib import Path

DESCRIPTORS = "/proc/self/fd"
HAS_DESCRIPTORS = Path(DESCRIPTORS).exists()


def open_descriptors() -> list[str]:
    """The files and sockets this process has open, where the system tells it (Linux); else none."""
    found = []
    # Each test asks twice, so no path is made of each descriptor.
    for name in os.listdir(DESCRIPTORS) if HAS_DESCRIPTORS else ():  # noqa: PTH208
        try:
            found.append(os.readlink(f"{DESCRIPTORS}/{name}"))  # noqa: PTH115
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return found


def open_sockets() -> set[str]:
    """The sockets this process has open, as `open_descriptors`."""
    return {target for target in open_descriptors() if target.startswith("socket:")}
