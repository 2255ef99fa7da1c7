"""Django: messages that are published when ``transaction.atomic()`` commits.

from django.db import transaction
from telex.ext.django import join

with transaction.atomic():
    order = Order.objects.create(...)
    join(hub).publish("orders", {"id": order.id})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telex.hub import Hub

if TYPE_CHECKING:
    from telex.joined import JoinedTransaction


def join(hub: Hub, using: str = "default") -> JoinedTransaction:
    """Join the open transaction of the database ``using`` (a key of Django's ``DATABASES``); see `telex.Hub.join`.

    It must be the database of the hub's URL. Raises `BadOption` outside of ``transaction.atomic()``.
    """
    from django.db import connections

    joined: JoinedTransaction = hub.join(connections[using])
    return joined
