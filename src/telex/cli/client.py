"""A WebSocket client of a gateway, for the commands. Its calls block, with a time limit."""

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
ANSWER_SECONDS = 30.0
"""The time limit for one answer."""
RECONNECT_SECONDS = 30.0
"""The time limit for reconnecting."""
MIN_TRY_SECONDS = 0.05
"""The shortest time limit of one try to reconnect."""
MAX_FRAME_BYTES = 64 * 1024 * 1024


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
        """True when the client should connect again."""
        return self.code not in {CloseCode.BINARY, CloseCode.TOO_LARGE} and not 3500 <= self.code < 4000


class Client:
    """One connection. ``with Client(url, timeout=5) as client:`` connects and waits for the first frame.

    ``timeout`` limits both together. Raises `ConnectFailed`, and `BadOption` for an invalid URL.
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
            silent = f"it accepts the connection, and sends nothing for {self._timeout:g} s"
            problem = str(error) if isinstance(error, Gone) else silent
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
        """Close the connection. It may be called twice."""
        self._exits.close()

    def request(self, frame: Frame, answer: type[R], deadline: float = math.inf) -> R:
        """Send a request with a new ``ref``, and wait for its answer until ``deadline`` (of `time.monotonic`).

        After a refusal with ``retry_after``, wait and send the request again. Raises `Refused`, `Timeout`, `Gone`.
        """
        deadline = min(deadline, time.monotonic() + ANSWER_SECONDS)
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
        """Wait for the next frame that is not an answer. Raises `Timeout`, `Gone`."""
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

        # The proxy of the environment does not apply to this machine.
        proxy: Literal[True] | None = None if is_loopback(urlsplit(self.url).hostname or "") else True
        try:
            return self._exits.enter_context(
                connect(self.url, open_timeout=self._timeout, close_timeout=1.0, max_size=MAX_FRAME_BYTES, proxy=proxy)
            )
        except TimeoutError:
            problem = f"no answer within {self._timeout:g} s"
        except ConnectionRefusedError:
            problem = "nothing listens there; start one with `telex chat`, or give its --server, or a file with --url"
        except InvalidStatus as error:
            problem = _status(error.response.status_code)
        except (InvalidHandshake, WebSocketException, EOFError) as error:
            problem = f"it is not a WebSocket server ({error})"
        except OSError as error:
            problem = error.strerror or str(error)
        except UnicodeError:
            problem = "its host is not the name of a machine"
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
    """Return the URL ``ws://host:port/ws`` of a gateway, also for the address of its page. Raises `BadOption`."""
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
    """Connect a publisher. Raises the errors of `Client`."""
    made = GatewayPublisher(url, timeout)
    try:
        made.connect()
        yield made
    finally:
        made.close()


class GatewayPublisher:
    """A publisher with one connection, which reconnects when the connection is lost. Every message has an id, so that
    none is stored twice.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._client: Client | None = None

    def connect(self) -> Client:
        """Return the connection, a new one if there is none."""
        if self._client is None:
            self._client = Client(self._url, self._timeout).__enter__()
        return self._client

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def publish(self, frame: Publish) -> Published:
        """Publish, and return the answer. Raises `Refused`, `Timeout`, `Gone`, `ConnectFailed`."""
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
    """Iterate over the frames of a topic or pattern. Reconnect when the connection is lost, and yield a `Gone` each
    time.

    Raises `Timeout` at ``deadline`` (of `time.monotonic`), `ConnectFailed` when it cannot reconnect, `Refused`.
    """
    lost_at: float | None = None
    attempt = 0
    until = math.inf if deadline is None else deadline
    while True:
        try:
            # The first connection has a time limit of its own; reconnecting has the time until the deadline.
            limit = math.inf if lost_at is None else max(until, time.monotonic() + MIN_TRY_SECONDS)
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
            elif lost_at is None or now > lost_at + RECONNECT_SECONDS:
                raise
            attempt += 1
            time.sleep(retry_wait(attempt, until))


def retry_wait(attempt: int, deadline: float) -> float:
    """Return the seconds to wait before an attempt, at most until the deadline. Raises `Timeout` after the deadline."""
    wait = min(5.0, 0.1 * 2.0**attempt) * random.uniform(0.5, 1.0)
    left = deadline - time.monotonic()
    if left <= 0:
        raise Timeout("connecting again", wait)
    return min(wait, left)


def _status(status: int) -> str:
    if status == 403:
        return (
            "the server refuses this program (HTTP status 403); is the path right? A chat room has the path "
            "/ws, and accepts only programs of its own machine"
        )
    return f"the server answers with HTTP status {status}; is the path right? A chat room has the path /ws"
