"""`telex docs`: the AsyncAPI document of a program, printed and served on this machine."""

import json
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

import telex
from telex.cli.docs import server_of
from telex.ext.asyncapi import POLICY, document
from tests.unit.cli.conftest import Telex


@pytest.fixture
def program(folder: Path) -> Iterator[str]:
    (folder / "documented.py").write_text(
        "import telex\nhub = telex.Hub('postgresql://user:secret@db.example/shop')\nhub.topic('orders', int)\n"
    )
    yield "documented:hub"
    sys.modules.pop("documented", None)


def test_the_document_is_printed_as_json_without_passwords(telex: Telex, program: str) -> None:
    ran = telex("docs", program, "--api-version", "2.0.0")
    assert ran.code == 0
    printed = json.loads(ran.out)
    assert printed["info"] == {"title": "documented:hub", "version": "2.0.0"}
    assert printed["servers"]["engine"] == {"host": "db.example", "protocol": "postgresql", "pathname": "/shop"}
    assert "secret" not in ran.out


def test_the_page_is_printed(telex: Telex, program: str) -> None:
    ran = telex("docs", program, "--html", "--title", "<shop>")
    assert "<h1>&lt;shop&gt; 1.0.0</h1>" in ran.out


def test_a_wrong_program_and_a_used_port_are_named(telex: Telex, program: str) -> None:
    ran = telex("docs", "nothing")
    assert "write module:hub" in ran.err
    with server_of(document(_hub()), 0) as server:
        ran = telex("docs", program, "--serve", "--port", str(server.server_address[1]))
        assert (ran.code, "choose another with --port" in ran.err) == (1, True)


def _hub() -> telex.Hub:
    hub = telex.Hub("memory://")
    hub.topic("orders", int)
    return hub


@pytest.fixture
def connection() -> Iterator[HTTPConnection]:
    with server_of(document(_hub()), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = HTTPConnection("127.0.0.1", int(server.server_address[1]), timeout=10)
        try:
            yield client
        finally:
            client.close()
            server.shutdown()
            thread.join()


def test_the_page_and_the_document_are_served_with_a_policy(connection: HTTPConnection) -> None:
    served = (("/", "text/html; charset=utf-8", b"orders"), ("/asyncapi.json", "application/json", b"{"))
    for path, kind, text in served:
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, response.headers["content-type"]) == (200, kind)
        assert response.headers["content-security-policy"] == POLICY
        assert text in response.read()
        connection.close()


@pytest.mark.parametrize(("path", "host", "status"), [("/other", "localhost:1", 404), ("/", "evil.example:1", 421)])
def test_other_paths_and_hosts_are_refused(connection: HTTPConnection, path: str, host: str, status: int) -> None:
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    assert response.status == status
    response.read()
