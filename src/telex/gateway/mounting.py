"""A patch of Starlette with which ``app.mount("/ws", gateway)`` answers at ``/ws``.

Starlette's `Mount` matches the paths below its own, ``/ws/…``, and not ``/ws``. It redirects HTTP to ``/ws/``. But a
WebSocket cannot be redirected, and is refused. A mounted app cannot change this, so the patch makes `Mount` match its
own path, only for an `Endpoint`.
"""

from __future__ import annotations

from typing import Any

from starlette.routing import Match, Mount


class Endpoint:
    """An ASGI app with one address: the path at which it is mounted."""


def answer_at_mounts() -> None:
    """Let `Mount` match its own path for an `Endpoint`. It may be called twice."""
    if getattr(Mount.matches, "answers", False):
        return
    below = Mount.matches

    def matches(self: Mount, scope: Any) -> tuple[Match, Any]:
        found = below(self, scope)
        if found[0] is not Match.NONE or not isinstance(self.app, Endpoint):
            return found
        if scope["type"] not in ("http", "websocket"):
            return found
        # the same as a request for "/ws/", with the path unchanged
        return below(self, {**scope, "path": scope["path"] + "/"})

    matches.answers = True  # type: ignore[attr-defined]
    Mount.matches = matches  # type: ignore[method-assign]
