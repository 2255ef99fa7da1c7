"""`serve`: the main function of a worker process, which calls functions of the program for a `ProcessPool`."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import traceback
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from telex.codec.content import Content, to_json
from telex.codec.encoding import encoded
from telex.errors import (
    BadOption,
    CommandError,
    ContentError,
    Misuse,
    Nack,
    Reject,
    TelexError,
    printable,
    shown,
    text_of,
)
from telex.message import Message
from telex.process.threads import not_coroutine

if typing.TYPE_CHECKING:
    from multiprocessing.connection import Connection


RESULT_REFUSED = "result_refused"
"""The code of the error of a command whose result cannot be sent."""


class ProcessFailed(TelexError, RuntimeError):
    """The function's fault: a function with ``run_in="process"`` raised an exception, or its process has ended.

    ``function`` is its name, ``type`` the class name of the exception (``ProcessDied`` when the process has ended),
    ``text`` its text. ``code`` is ``"error"``, and ``"result_refused"`` for a result without a JSON form. The traceback
    of the process is a note of this exception.
    """

    def __init__(self, function: str, type: str, text: str, code: str = "error") -> None:
        super().__init__(function, type, text, code)
        self.function = function
        self.type = type
        self.text = text
        self.code = code

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type


class Task(msgspec.Struct, frozen=True):
    """One call. ``function`` and ``type`` are the names of a function and of the content's class, as ``module:name``.

    ``wants`` are the kinds of the function's arguments, ``message`` is the message as JSON. Without ``answers`` the
    result is not sent back.
    """

    function: str
    wants: tuple[str, ...]
    message: msgspec.Raw
    type: str | None
    answers: bool


class Returned(msgspec.Struct, frozen=True, tag="returned", tag_field="answer"):
    """The result of a call."""

    result: msgspec.Raw


class Raised(msgspec.Struct, frozen=True, tag="raised", tag_field="answer"):
    """The exception of a call. ``kind`` tells the exceptions of telex that have a meaning for the caller."""

    kind: typing.Literal["error", "nack", "reject", "command"]
    type: str
    text: str
    traceback: str = ""
    delay: float | str | None = None
    code: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    final: bool = True


ANSWER: msgspec.json.Decoder[Returned | Raised] = msgspec.json.Decoder(Returned | Raised)
"""Decodes the answer of a worker."""
STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals that reach all processes when a program is to stop."""
_TASK = msgspec.json.Decoder(Task)


def serve(connection: Connection, is_process: bool = True) -> None:
    """Carry out tasks until the connection is closed: the pool was closed, or its process has ended."""
    if is_process:
        # Ctrl-C and systemd's stop reach all processes: the pool's hub decides how long this one may work. Not SIG_IGN,
        # which the programs that a task starts would inherit: nothing but SIGKILL would end them.
        signal.signal(signal.SIGINT, _go_on)
        signal.signal(signal.SIGTERM, _go_on)
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        threading.Thread(target=_end_with_parent, name="telex parent", daemon=True).start()
    answer = b"ready"
    while True:
        try:
            connection.send_bytes(answer)
            data = connection.recv_bytes()
        except (EOFError, OSError):
            return
        answer = msgspec.json.encode(_answer(_TASK.decode(data)))


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block the signals that `serve` handles, in this thread: a process that is started has them blocked until then."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker  # the parent imports it with the first process

    resource_tracker.ensure_running()  # its start, which would be in the block, unblocks these signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _go_on(number: int, frame: object) -> None:
    """Do nothing on a signal."""


def _end_with_parent() -> None:
    """End this process, also in the middle of a task, when its parent has ended without closing the pool."""
    from multiprocessing import parent_process  # the parent imports this module, and seldom needs it

    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _answer(task: Task) -> Returned | Raised:
    try:
        function = found(task.function)
        result = not_coroutine(function(*arguments(task, function)), task.function)
        return returned(result, task.function) if task.answers else Returned(msgspec.Raw(b"null"))
    except (SystemExit, KeyboardInterrupt):
        raise  # they end the process
    except BaseException as error:  # noqa: BLE001  # the caller gets it
        return raised(error)


def returned(result: object, function: str) -> Returned | Raised:
    """Return a result as it is sent to the caller; an error when it has no JSON form."""
    try:
        return Returned(msgspec.Raw(encoded(result, function)))
    except ContentError as error:
        text = f"its result is refused at {error.path}: {error.problem}"
        return Raised("error", "ContentError", text, code=RESULT_REFUSED)


def raised(error: BaseException) -> Raised:
    """Return an exception as it is sent to the caller."""
    name, text = printable(type(error).__qualname__), text_of(error)
    if isinstance(error, Nack):
        delay = error.delay if isinstance(error.delay, (int, float, str)) else None
        return Raised("nack", name, text, delay=delay)
    if isinstance(error, Reject):
        return Raised("reject", name, text_of(error.reason))
    trace = printable("".join(traceback.format_exception(error)))
    if isinstance(error, CommandError):
        data = getattr(error, "data", None)
        try:
            json = to_json(data)
        except Exception:  # noqa: BLE001  # the error is sent without its data
            json = to_json(shown(data))
        final = bool(getattr(error, "final", True))
        return Raised("command", name, text, trace, code=text_of(error.code), data=msgspec.Raw(json), final=final)
    return Raised("error", name, text, trace)


def arguments(task: Task, function: Callable[..., object]) -> list[object]:
    """Return the arguments of a call. Raises `ContentError`."""
    message: Message[Any] = Message.from_json(bytes(task.message))
    declared = annotated(function, task.wants) if task.type is None else found(task.type)
    if declared is not None:
        content = content_of(declared).decode(message.content, message.topic, message.type)
        message = msgspec.structs.replace(message, content=content)
    values = {"message": message, "content": message.content}
    return [values[kind] for kind in task.wants]


@cache
def found(name: str) -> Any:
    """Return the object of a name ``module:qualname``. Raises `Misuse`."""
    module, _, path = name.partition(":")
    value: Any = import_module(module)
    for part in path.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            fix = "put it into a module that it imports, at the top level"
            raise Misuse(f"find {path} of the module {module} in another process", fix) from None
    return value


@cache
def content_of(declared: Any) -> Content[Any]:
    """Return the decoder of a type. It is made once in each process."""
    return Content(declared)


@cache
def annotated(function: Callable[..., object], wants: tuple[str, ...]) -> Any:
    """Return the annotated type of the content of a function; None without one."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  # a name is unknown at run time
        return None
    for kind, name in zip(wants, inspect.signature(function).parameters, strict=False):
        hint = hints.get(name, Any)
        if kind == "message":
            hint = next(iter(typing.get_args(hint)), Any)
        elif kind != "content":
            continue
        if hint is Any or hint is object:
            continue
        try:
            content_of(hint)
        except BadOption:
            return None
        return hint
    return None
