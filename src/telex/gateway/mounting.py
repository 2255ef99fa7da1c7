"""``app.mount("/ws", gateway)`` answers at ``/ws``.

Starlette's `Mount` matches what is below its path, ``/ws/…``, and not the path itself. It redirects HTTP to ``/ws/``;
a WebSocket cannot be redirected, and is refused. The app that is mounted is not asked, so `Mount` is told here of apps
whose whole surface is the path that they are mounted at. For every other app it stays as it is.
"""

from __future__ import annotations

from typing import Any

from starlette.routing import Match, Mount


class Endpoint:
    """An ASGI app with one address. Where it is mounted, the path of the mount is that address."""


def answer_at_mounts() -> None:
    """Let `Mount` match its own path for an `Endpoint`. Twice is fine."""
    if getattr(Mount.matches, "answers", False):
        return
    below = Mount.matches

    def matches(self: Mount, scope: Any) -> tuple[Match, Any]:
        found = below(self, scope)
        if found[0] is not Match.NONE or not isinstance(self.app, Endpoint):
            return found
        if scope["type"] not in ("http", "websocket"):
            return found
        # As if "/ws/" had been asked for, with the path as it is.
        return below(self, {**scope, "path": scope["path"] + "/"})

    matches.answers = True  # type: ignore[attr-defined]
    Mount.matches = matches  # type: ignore[method-assign]
