"""`TopicSummary`, a line of ``telex topics``."""

from __future__ import annotations

from datetime import datetime

import msgspec


class TopicSummary(msgspec.Struct, frozen=True):
    """A stored topic: the number of ``messages`` that it keeps, their size in ``bytes``, and the time of the last
    message, or None when it keeps none.
    """

    topic: str
    messages: int
    bytes: int
    last: datetime | None
