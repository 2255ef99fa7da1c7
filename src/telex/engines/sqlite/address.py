"""``sqlite:///file.db?synchronous=normal``: the path of the file, and the options of writing it."""

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
    """True when a commit waits until the disk has it. Otherwise a power loss may take the last commits."""
    busy: float = 30.0
    """The longest wait, in seconds, while another program has the file locked."""
    foreign_keys: bool = True
    """True when transactions of programs enforce the foreign keys of their tables."""
    bounds: FileBounds = BOUNDS


def parse(url: str) -> FileAddress:
    """Return the address in ``url``. Raises `BadOption`, which tells what to write."""
    rest, mark, query = url.removeprefix("sqlite://").partition("?")
    if not rest.startswith("/"):
        raise BadOption("url", url, f"write three slashes before a file's name; {_FORMS}")
    path = unquote(rest[1:])
    if path in {":memory:", "/:memory:"}:
        raise BadOption("url", url, "'memory://' is the engine without a file")
    if "\0" in path:
        raise BadOption("url", url, f"a file name must not contain the character NUL; {_FORMS}")
    if not path.strip("/"):
        raise BadOption("url", url, f"it has no file name; {_FORMS}")
    options: dict[str, str] = {}
    if mark:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
        except ValueError:
            raise BadOption("url", url, "write options after '?', such as 'synchronous=normal'") from None
        options = dict(pairs)
        if len(options) < len(pairs):
            raise BadOption("url", url, "an option is given twice; keep one")
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
