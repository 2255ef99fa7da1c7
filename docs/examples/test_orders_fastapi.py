import os

from fastapi.testclient import TestClient
from orders_fastapi import create_app

import telex.blocking


def test_an_order_and_its_event_commit_together_or_not_at_all() -> None:
    with TestClient(create_app()) as client:
        assert client.post("/orders", json={"item": "tea"}).status_code == 201
        assert client.post("/orders", json={"item": "sold out"}).status_code == 409
        assert client.post("/orders", json={"item": "cake"}).status_code == 201
        assert client.get("/orders").json() == ["tea", "cake"]
        other = telex.blocking.Hub(os.environ["TELEX_URL"])
        with other, other.topic("orders").subscribe(start="earliest") as events:
            assert [events.receive(timeout=10).content["item"] for _ in range(2)] == ["tea", "cake"]
