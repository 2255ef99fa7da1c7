"""The socket of one connection, and no other, is ended."""

import socket
from contextlib import ExitStack
from typing import Any

import pytest

from telex.gateway.sockets import addresses, cut_off


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({"client": ("10.0.0.1", 5), "server": ("10.0.0.2", 80)}, (("10.0.0.1", 5), ("10.0.0.2", 80))),
        ({"client": ("10.0.0.1", 5), "server": ("10.0.0.2", 80), "http_version": "2"}, None),
        ({"client": ("10.0.0.1", 0), "server": ("10.0.0.2", 80)}, None),
        ({"client": ("10.0.0.1", 5), "server": ("10.0.0.2", None)}, None),
        ({"client": ("10.0.0.1", 5), "server": ("/run/a.sock", 0)}, None),
        ({"client": None, "server": ("10.0.0.2", 80)}, None),
        ({"client": ("10.0.0.1", 5)}, None),
        ({}, None),
    ],
)
def test_a_socket_of_its_own_has_both_addresses_over_http_1(scope: dict[str, Any], found: object) -> None:
    assert addresses(scope) == found


def test_only_the_sockets_that_are_due_are_cut_off() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        clients = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(2)]
        served = [stack.enter_context(listener.accept()[0]) for _ in range(2)]
        due = {(served[0].getpeername(), served[0].getsockname())}
        assert cut_off([]) == 0
        assert cut_off(due) == 1
        assert clients[0].recv(1) == b""
        served[1].sendall(b"x")
        assert clients[1].recv(1) == b"x"
        served[0].close()
        assert cut_off(due) == 0


@pytest.mark.slow
def test_only_the_socket_between_two_addresses_is_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first, second = (socket.create_connection(listener.getsockname()) for _ in range(2))
        theirs = [listener.accept()[0] for _ in range(2)]
        with first, second, theirs[0], theirs[1]:
            assert cut_off([]) == 0
            assert cut_off([(("127.0.0.1", 1), listener.getsockname())]) == 0
            assert cut_off([(first.getsockname(), listener.getsockname())]) == 1
            assert first.recv(1) == b""
            second.sendall(b"x")
            assert theirs[1].recv(1) == b"x"


@pytest.mark.slow
@pytest.mark.parametrize(
    "scope",
    [
        {"client": None, "server": ("127.0.0.1", 80)},
        {"client": ("127.0.0.1", 0), "server": ("127.0.0.1", 80)},
        {"client": ("127.0.0.1", 1), "server": ("/a/socket", None)},
        {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "http_version": "2"},
    ],
)
def test_a_socket_that_may_be_another_s_is_left_alone(scope: dict[str, Any]) -> None:
    assert addresses(scope) is None
