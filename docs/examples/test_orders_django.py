import os

from django.db import connections
from django.test import Client
from orders_django import migrate

import telex.blocking


def test_an_order_and_its_event_commit_together_or_not_at_all() -> None:
    client = Client(raise_request_exception=False)
    migrate()
    # Another process publishes the messages of committed transactions, as `telex run` does.
    worker = telex.blocking.Hub(os.environ["TELEX_URL"])
    with worker, worker.topic("orders").subscribe(start="earliest") as events:
        for item, status in (("tea", 201), ("sold out", 500), ("cake", 201)):
            placed = client.post("/orders", {"item": item}, content_type="application/json")
            assert placed.status_code == status
        assert client.get("/orders").json() == ["tea", "cake"]
        assert [events.receive(timeout=10).content["item"] for _ in range(2)] == ["tea", "cake"]
    connections.close_all()
