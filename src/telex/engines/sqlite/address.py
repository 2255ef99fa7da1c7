"""``sqlite:///file.db?synchronous=normal``: where the file is, and how it is written."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import msgspec

from telex.durations import seconds
from telex.engines.sqlite.bounds import BOUNDS, FileBounds
from telex.errors import BadOption

_FORMS = (
    "write 'sqlite:///file.db' for a file in the current folder, 'sqlite:////var/lib/file.db' for a path from the root"
)


class FileAddress(msgspec.Struct, frozen=True):
    """A checked URL."""

    url: str
    path: str
    full: bool = True
    """A commit waits until the disk has it; if not, a power loss may take the last ones."""
    busy: float = 30.0
    """The longest wait, in seconds, while another program has the file locked."""
    foreign_keys: bool = True
    """The foreign keys of the program's tables are held in its transactions."""
    bounds: FileBounds = BOUNDS


def parse(url: str) -> FileAddress:
    """The address in ``url``. Raises `BadOption`, which says what to write."""
    rest, mark, query = url.removeprefix("sqlite://").partition("?")
    if not rest.startswith("/"):
        raise BadOption("url", url, f"write three slashes before a file's name; {_FORMS}")
    path = unquote(rest[1:])
    if path in {":memory:", "/:memory:"}:
        raise BadOption("url", url, "'memory://' is the engine that keeps nothing in a file")
    if not path.strip("/") or "\0" in path:
        raise BadOption("url", url, f"it names no file; {_FORMS}")
    options: dict[str, str] = {}
    if mark:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
        except ValueError:
            raise BadOption("url", url, "after '?' come options such as 'synchronous=normal'") from None
        options = dict(pairs)
        if len(options) < len(pairs):
            raise BadOption("url", url, "an option stands there twice; keep one")
    full = options.pop("synchronous", "full")
    if full not in {"full", "normal"}:
        raise BadOption("synchronous", full, "write synchronous=full (the default) or synchronous=normal")
    keys = options.pop("foreign_keys", "on")
    if keys not in {"on", "off"}:
        raise BadOption("foreign_keys", keys, "write foreign_keys=on (the default) or foreign_keys=off")
    busy = seconds(options.pop("busy_timeout", "30s"), "busy_timeout")
    for name in options:
        known = "the options are synchronous, busy_timeout and foreign_keys"
        raise BadOption("url", url, f"{name!r} is not an option: {known}")
    return FileAddress(url, path, full == "full", busy, keys == "on")
