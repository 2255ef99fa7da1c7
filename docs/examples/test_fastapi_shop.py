import asyncio
from collections.abc import Iterator

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from fastapi_shop import create_app, problem
from starlette.testclient import WebSocketDenialResponse

import telex


@pytest.fixture
def client() -> Iterator[TestClient]:
    # An app has a hub, and a hub is opened once: each test makes an app of its own.
    with TestClient(create_app("memory://")) as client:
        yield client


def test_an_order_is_charged(client: TestClient) -> None:
    paid = client.post("/orders", json={"number": 1, "cents": 700})
    assert (paid.status_code, paid.json()) == (201, {"charged": 700, "seq": 1})


def test_a_card_that_is_declined_is_a_bad_request(client: TestClient) -> None:
    assert client.post("/orders", json={"number": 1, "cents": 700_000}).status_code == 400


def test_the_text_of_a_bug_is_not_sent() -> None:
    bug = telex.CommandFailed("orders:charge", "OSError", "error", "/var/lib/shop is not a folder")
    response = asyncio.run(problem(Request({"type": "http"}), bug))
    assert (response.status_code, response.body) == (500, b'{"detail":"CommandFailed"}')


def test_a_client_without_a_login_is_refused(client: TestClient) -> None:
    headers, url = (
        {"origin": "http://localhost"},
        "ws://localhost/ws",
    )  # not /ws, which would be of the host "testserver"
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(url, headers=headers):
        pass
    assert (refused.value.status_code, refused.value.text) == (403, "log in first\n")
    headers["cookie"] = "session=a-long-secret"
    with client.websocket_connect(url, headers=headers) as socket:
        assert socket.receive_json()["op"] == "hello"
