"""`telex sub`, from a server."""

import json
import os
import signal
import subprocess
import sys
import threading
from uuid import uuid4

import pytest

from telex.cli.client import Client
from telex.gateway.protocol import ListTopics, TopicList
from tests.support.server import ENVIRONMENT, ChatServer
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("server_of_this_run")
def test_a_pattern_is_followed_live(telex: Telex, server: ChatServer) -> None:
    mark = uuid4().hex
    command = [sys.executable, "-m", "telex", "sub", f"{mark}:*", "--count", "2", "--json", "--server", server.gateway]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as follower:
        # It follows as soon as what is published comes out; until then the same ids are stored once.
        ended = threading.Event()

        def publish() -> None:
            number = 0
            while not ended.is_set():
                telex("pub", f"{mark}:{number % 2}", str(number))
                number += 1

        publisher = threading.Thread(target=publish)
        publisher.start()
        assert follower.stdout is not None
        lines = [json.loads(follower.stdout.readline()) for _ in range(2)]
        ended.set()
        publisher.join()
        assert follower.wait(20) == 0
    assert lines[1]["content"] == lines[0]["content"] + 1


@pytest.mark.usefixtures("server_of_this_run")
def test_timeouts(telex: Telex, topic: str) -> None:
    assert telex("sub", topic, "--timeout", "50ms").code == 0
    ran = telex("sub", topic, "--timeout", "0.05", "--count", "3")
    assert ran.code == 4
    assert ran.err == "telex: 0.05 s are over, and 3 of 3 messages did not come\n"


@pytest.mark.usefixtures("server_of_this_run")
def test_interrupted(server: ChatServer) -> None:
    command = [sys.executable, "-m", "telex", "sub", "a", "--since", "earliest", "--server", server.gateway]
    with Client(server.gateway, 5) as client:
        client.request(ListTopics(), TopicList)
    with subprocess.Popen(
        [sys.executable, "-m", "telex", "pub", "interrupted:x", "1", "--server", server.gateway],
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
    ) as publisher:
        assert publisher.wait(20) == 0
    command[4] = "interrupted:x"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert follower.stdout.readline()
        os.kill(follower.pid, signal.SIGINT)
        assert follower.wait(20) == 130
        assert "Traceback" not in follower.stderr.read()
