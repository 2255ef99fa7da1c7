"""Content at the boundary of a process: checked when it is published, written as JSON, and read back."""

from telex.codec.content import (
    STANDARD,
    Content,
    hold,
)

__all__ = [
    "STANDARD",
    "Content",
    "hold",
]
