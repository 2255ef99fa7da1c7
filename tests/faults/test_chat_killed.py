"""The chat room on a file: its server is killed under load and started again, and who comes sees what was confirmed."""

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

import telex
from telex.cli.client import Client, Gone
from telex.gateway.protocol import Messages, Publish, Published, Subscribe, Subscribed
from tests.support.server import ChatServer

ROOM = "chatroom:lobby"
SENDERS = 4
ROUNDS = 5
ENOUGH = 40
"""So many are confirmed in a round before the server is killed."""


class Sender(threading.Thread):
    """Talks until the server is gone; ``confirmed`` is what it was told of."""

    def __init__(self, url: str, name: str, told: threading.Semaphore) -> None:
        super().__init__(name=name)
        self.confirmed: list[tuple[int, str]] = []
        self.url, self.told = url, told

    def run(self) -> None:
        number = 0
        try:
            with Client(self.url, 10) as client:
                while True:
                    text = f"{self.name} {number}"
                    done = client.request(Publish(ROOM, {"name": self.name, "text": text}), Published)
                    self.confirmed.append((done.seq, text))
                    self.told.release()
                    number += 1
        except (Gone, telex.ConnectFailed):
            pass


def seen(url: str) -> list[tuple[int, str]]:
    """What somebody who comes now sees: numbers and texts."""
    with Client(url, 10) as client:
        waiting = client.request(Subscribe(ROOM, "earliest"), Subscribed).waiting
        found: list[tuple[int, str]] = []
        while len(found) < waiting:
            frame = client.next(10)
            assert isinstance(frame, Messages), frame
            found += [(message["seq"], message["content"]["text"]) for message in frame.messages]
        return found


@pytest.mark.slow
def test_confirmed_messages_are_seen_after_kill(tmp_path: Path) -> None:
    confirmed: list[tuple[int, str]] = []
    with ExitStack() as stack:
        server = stack.enter_context(ChatServer("--url", f"sqlite:///{tmp_path}/chat.db"))
        for turn in range(ROUNDS):
            told = threading.Semaphore(0)
            senders = [Sender(server.gateway, f"s{turn}.{number}", told) for number in range(SENDERS)]
            for sender in senders:
                sender.start()
            for _ in range(ENOUGH):
                assert told.acquire(timeout=20)
            server.kill()
            for sender in senders:
                sender.join(20)
                confirmed += sender.confirmed
            server.start()
            everything = seen(server.gateway)
            numbers = [seq for seq, _ in everything]
            assert numbers == list(range(1, len(everything) + 1)), "in order, each once"
            texts = [text for _, text in everything]
            assert len(set(texts)) == len(texts), "each once"
            missing = set(confirmed) - set(everything)
            assert not missing, f"confirmed and not seen: {sorted(missing)[:5]}"
    assert len(confirmed) >= ROUNDS * ENOUGH
