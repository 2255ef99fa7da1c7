"""The dashboard: topics, groups, dead letters, commands, schedules and triggers of an engine, on a live page.

``telex dashboard`` serves it, and `Dashboard` is mounted in an app. ``snapshot`` reads the state of an engine, ``jobs``
its commands by id, ``actions`` has the changes, ``app`` is the ASGI app, and the folder ``page`` has the files of the
page. The page is live by a `telex.gateway.Gateway` over a hub of its own in memory, so that watching writes nothing to
the engine.
"""

from telex.dashboard.app import Dashboard

__all__ = ["Dashboard"]
