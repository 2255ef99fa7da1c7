from dashboard_mounted import create_app
from starlette.testclient import TestClient


def test_only_administrators_see_the_dashboard() -> None:
    with TestClient(create_app("memory://"), base_url="http://shop.example.org") as client:
        assert client.get("/dashboard/").status_code == 403
        client.cookies.set("session", "a-long-secret")
        assert "telex dashboard" in client.get("/dashboard/").text
