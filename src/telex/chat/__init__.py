"""The chat room, on telex's public names only: `create_app` makes it, ``telex chat`` serves it.

Layout: ``words`` (what people type) and ``presence`` (who is there) are pure; ``lobby`` is the room's side of the
gateway; ``page`` serves the files of the folder of that name; ``app`` puts them together; ``server`` runs them.

A room is the topic ``chatroom:<room>`` and holds `Said`; who comes and goes is told on ``presence:<room>``.
"""

from __future__ import annotations

from telex.chat.app import create_app
from telex.chat.words import Said

__all__ = ["Said", "create_app"]
