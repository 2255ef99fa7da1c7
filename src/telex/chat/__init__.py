"""The chat room, made only of public names of telex: `create_app` makes it, ``telex chat`` serves it.

Layout: ``words`` (cleaning names and texts) and ``presence`` (the people in each room) are pure; ``lobby`` has the
rooms and the permissions of a connection; ``page`` serves the files in the folder of that name; ``app`` is the ASGI
app, and ``server`` its process.

A room is the topic ``chatroom:<room>`` with messages of `Said`. Its presence topic is ``presence:<room>``.
"""

from __future__ import annotations

from telex.chat.app import create_app
from telex.chat.words import Said

__all__ = ["Said", "create_app"]
