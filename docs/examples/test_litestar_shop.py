from litestar.testing import TestClient
from litestar_shop import create_app


def test_an_order_is_published() -> None:
    with TestClient(create_app("memory://")) as client:
        assert client.post("/orders", json={"number": 1}).json() == 1
        assert client.get("/orders/events", headers={"Last-Event-ID": "rubbish"}).status_code == 400
