"""A connection to a gateway, for commands. It blocks, and every wait of it is bounded."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from telex import BadOption, ConnectFailed, TelexError, Timeout
from telex.gateway import CloseCode, Refused, is_loopback
from telex.gateway.protocol import (
    VERSION,
    Ended,
    Error,
    Frame,
    Hello,
    LostFrame,
    Messages,
    Publish,
    Published,
    Reply,
    Subscribe,
    Subscribed,
    decode_reply,
)

if TYPE_CHECKING:
    from typing import Self

    from websockets.sync.client import ClientConnection

R = TypeVar("R")
DEFAULT_SERVER = "ws://127.0.0.1:8000/ws"
ANSWER_WITHIN = 30.0
COME_BACK_FOR = 30.0
SHORTEST_TRY = 0.05
"""Seconds that connecting again gets at least."""
LARGEST_FRAME = 64 * 1024 * 1024


class Gone(TelexError):
    """The network's or the server's fault: the connection ended. ``code`` is the WebSocket close code."""

    def __init__(self, url: str, code: int, reason: str) -> None:
        super().__init__(url, code, reason)
        self.url: str = url
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        if self.code == CloseCode.TOO_LARGE:
            return f"{self.url} ended the connection: the message is too large for it; split it"
        return f"{self.url} ended the connection: {self.reason or f'code {self.code}'}"

    @property
    def come_back(self) -> bool:
        """Whether it is worth connecting again."""
        return self.code not in {CloseCode.BINARY, CloseCode.TOO_LARGE} and not 3500 <= self.code < 4000


class Client:
    """One connection. ``with Client(url, timeout=5) as client:`` connects, and hears the server's first word.

    ``timeout`` bounds both together. Raises `ConnectFailed`, whatever stands in the way; `BadOption` for a URL that
    is none.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url: str = check_url(url)
        self._timeout = timeout
        self._unasked: deque[Reply] = deque()
        self._ref = 0
        self._frame_bytes = 0
        self._socket: ClientConnection | None = None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Connect."""
        deadline = time.monotonic() + self._timeout
        self._socket = self._connect()
        try:
            hello = self._receive(deadline - time.monotonic())
        except (Gone, Timeout) as error:
            self.close()
            problem = str(error) if isinstance(error, Gone) else f"it accepts, and says nothing for {self._timeout:g} s"
            raise ConnectFailed(self.url, problem) from None
        except BaseException:
            self.close()
            raise
        if not isinstance(hello, Hello) or hello.version != VERSION:
            self.close()
            raise ConnectFailed(
                self.url, f"it does not speak version {VERSION} of telex's protocol; use one version of telex"
            )
        self._frame_bytes = hello.frame_bytes
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. Twice is fine."""
        self._exits.close()

    def request(self, frame: Frame, answer: type[R], deadline: float = math.inf) -> R:
        """Send a request (its ``ref`` is set here) and wait for its answer, until ``deadline`` (of `time.monotonic`)
        at most.

        A refusal that passes is waited out and tried again. Raises `Refused`, `Timeout`, `Gone`.
        """
        deadline = min(deadline, time.monotonic() + ANSWER_WITHIN)
        while True:
            reply = self._ask(frame, deadline)
            if isinstance(reply, answer):
                return reply
            if not isinstance(reply, Error):
                raise Refused("malformed", f"the server answered with {type(reply).__name__}")
            if reply.retry_after is None or time.monotonic() + reply.retry_after > deadline:
                raise Refused(reply.code, reply.problem, reply.retry_after)
            time.sleep(reply.retry_after)

    def next(self, timeout: float | None) -> Reply:
        """The next frame that nobody asked for. Raises `Timeout`, `Gone`."""
        return self._unasked.popleft() if self._unasked else self._receive(timeout)

    def _ask(self, frame: Frame, deadline: float) -> Reply:
        self._ref += 1
        self._send(msgspec.structs.replace(frame, ref=self._ref))
        while True:
            reply = self._receive(deadline - time.monotonic())
            if getattr(reply, "ref", None) == self._ref:
                return reply
            self._unasked.append(reply)

    def _connect(self) -> ClientConnection:
        from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
        from websockets.sync.client import connect

        # A proxy of the environment is for the network, not for this machine.
        proxy: Literal[True] | None = None if is_loopback(urlsplit(self.url).hostname or "") else True
        try:
            return self._exits.enter_context(
                connect(self.url, open_timeout=self._timeout, close_timeout=1.0, max_size=LARGEST_FRAME, proxy=proxy)
            )
        except TimeoutError:
            problem = f"no answer within {self._timeout:g} s"
        except ConnectionRefusedError:
            problem = "nothing listens there; start one with `telex chat`, or name a --server, or a file with --url"
        except InvalidStatus as error:
            problem = _status(error.response.status_code)
        except (InvalidHandshake, WebSocketException, EOFError) as error:
            problem = f"it is no WebSocket server ({error})"
        except OSError as error:
            problem = error.strerror or str(error)
        raise ConnectFailed(self.url, problem)

    def _send(self, frame: Frame) -> None:
        from websockets.exceptions import ConnectionClosed

        assert self._socket is not None, "a client is entered before it is used"
        data = msgspec.json.encode(frame)
        if len(data) > self._frame_bytes:
            # The server would end the connection.
            problem = (
                f"the message is {len(data)} bytes long, and {self.url} takes at most {self._frame_bytes}; split it"
            )
            raise Refused("too_large", problem)
        try:
            self._socket.send(data.decode())
        except ConnectionClosed as error:
            raise self._gone(error) from None

    def _receive(self, timeout: float | None) -> Reply:
        from websockets.exceptions import ConnectionClosed

        assert self._socket is not None, "a client is entered before it is used"
        try:
            return decode_reply(self._socket.recv(None if timeout is None else max(0.0, timeout)))
        except TimeoutError:
            raise Timeout(f"waiting for {self.url}", timeout or 0.0) from None
        except ConnectionClosed as error:
            raise self._gone(error) from None
        except msgspec.DecodeError:
            raise ConnectFailed(self.url, "it does not speak telex's protocol") from None

    def _gone(self, error: Exception) -> Gone:
        received = getattr(error, "rcvd", None)
        return Gone(self.url, 1006, "") if received is None else Gone(self.url, received.code, received.reason)


def check_url(url: str) -> str:
    """The URL of a gateway: ``ws://host:port/ws``; the address of its page will do. Raises `BadOption`."""
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        port_exists = parts.port != 0
    except ValueError as error:
        raise BadOption("server", url, f"{error}; give an address such as {DEFAULT_SERVER}") from None
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in {"ws", "wss"} or not parts.hostname or not port_exists:
        raise BadOption("server", url, f"give an address such as {DEFAULT_SERVER}")
    return f"{scheme}://{parts.netloc}{parts.path if parts.path.strip('/') else '/ws'}"


@contextmanager
def publisher(url: str, timeout: float) -> Iterator[GatewayPublisher]:
    """Connect, to publish. Raises what `Client` raises."""
    made = GatewayPublisher(url, timeout)
    try:
        made.connect()
        yield made
    finally:
        made.close()


class GatewayPublisher:
    """Publishes over a connection that is made again when it was lost: every message has an id, so none is stored
    twice."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._client: Client | None = None

    def connect(self) -> Client:
        """The connection, made if there is none."""
        if self._client is None:
            self._client = Client(self._url, self._timeout).__enter__()
        return self._client

    def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def publish(self, frame: Publish) -> Published:
        """Publish; what the server answers. Raises `Refused`, `Timeout`, `Gone`, `ConnectFailed`."""
        try:
            return self.connect().request(frame, Published)
        except Gone as error:
            self.close()
            if not error.come_back:
                raise
            return self.connect().request(frame, Published)


def follow(
    url: str, topic: str, since: str | int, connect_timeout: float, deadline: float | None
) -> Generator[Messages | LostFrame | Gone, None, None]:
    """Every frame of a topic or pattern, over as many connections as it takes; a `Gone` each time one was lost.

    Raises `Timeout` at ``deadline`` (of `time.monotonic`), `ConnectFailed` when the server stays away, `Refused`.
    """
    lost_at: float | None = None
    attempt = 0
    until = math.inf if deadline is None else deadline
    while True:
        try:
            # The first connection has its own time; making it again has what is left until the deadline.
            limit = math.inf if lost_at is None else max(until, time.monotonic() + SHORTEST_TRY)
            with Client(url, min(connect_timeout, limit - time.monotonic())) as client:
                since = client.request(Subscribe(topic, since), Subscribed, limit).position
                lost_at, attempt = None, 0
                while True:
                    frame = client.next(None if deadline is None else until - time.monotonic())
                    if isinstance(frame, Ended):
                        return
                    if isinstance(frame, (Messages, LostFrame)):
                        yield frame
                        since = frame.position
        except (Gone, ConnectFailed) as error:
            now = time.monotonic()
            if isinstance(error, Gone):
                if not error.come_back:
                    raise
                lost_at = now
                yield error
            elif lost_at is None or now > lost_at + COME_BACK_FOR:
                raise
            attempt += 1
            time.sleep(_wait(attempt, until))


def _wait(attempt: int, deadline: float) -> float:
    wait = min(5.0, 0.1 * 2.0**attempt) * random.uniform(0.5, 1.0)
    left = deadline - time.monotonic()
    if left <= 0:
        raise Timeout("connecting again", wait)
    return min(wait, left)


def _status(status: int) -> str:
    if status == 403:
        return (
            "it does not let this program in (HTTP status 403); is the path right? A chat room's is /ws, and it takes "
            "programs of its own machine alone"
        )
    return f"it answers with HTTP status {status}; is the path right? A chat room's is /ws"
