"""All exceptions of telex, under one root.

Each class keeps its fields as attributes and builds its text from them. So exceptions survive pickle and copy, and
programs use the fields instead of parsing the text. The first line of each docstring says whose fault the error is.
"""

from __future__ import annotations


class TelexError(Exception):
    """The root of all exceptions of telex."""


class BadName(TelexError, ValueError):
    """The caller's fault: a topic id or a pattern breaks the rules of names.

    ``name`` is the given name, ``problem`` the broken rule and how to fix the name, ``option`` the argument.
    """

    def __init__(self, name: object, problem: str, option: str = "name") -> None:
        super().__init__(name, problem, option)
        self.name = name
        self.problem = problem
        self.option = option

    def __str__(self) -> str:
        return f"bad {self.option} {_shown(self.name)}: {self.problem}"


class BadOption(TelexError, ValueError):
    """The caller's fault: an argument has an invalid value.

    ``option`` is the name of the argument, ``value`` the given value, ``fix`` the values that are valid.
    """

    def __init__(self, option: str, value: object, fix: str) -> None:
        super().__init__(option, value, fix)
        self.option = option
        self.value = value
        self.fix = fix

    def __str__(self) -> str:
        return f"bad {self.option} {_shown(self.value)}: {self.fix}"


class Misuse(TelexError, TypeError):
    """The caller's fault: an object does not support the operation. Examples are ``for`` instead of ``async for``,
    waiting for a transaction inside of it, and groups on an engine without groups.

    ``operation`` names the operation, ``fix`` says how to fix the program.
    """

    def __init__(self, operation: str, fix: str) -> None:
        super().__init__(operation, fix)
        self.operation = operation
        self.fix = fix

    def __str__(self) -> str:
        return f"cannot {self.operation}: {self.fix}"


class BadHandler(TelexError, TypeError):
    """The caller's fault: a function is not suitable as a handler. The decorator raises this error.

    ``handler`` is the name of the function, ``problem`` says how to fix it.
    """

    def __init__(self, handler: str, problem: str) -> None:
        super().__init__(handler, problem)
        self.handler = handler
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.handler} cannot be a handler: {self.problem}"


class ContentError(TelexError, ValueError):
    """The publisher's fault: content does not fit the type of its topic.

    ``topic`` is the id of the topic, ``problem`` the mismatch, ``path`` its place in the content (``$.author.name``).
    ``stored`` is true for content that is stored already, and cannot be read.
    """

    def __init__(self, topic: str, problem: str, path: str = "$", stored: bool = False) -> None:
        super().__init__(topic, problem, path, stored)
        self.topic = topic
        self.problem = problem
        self.path = path
        self.stored = stored

    def __str__(self) -> str:
        if self.stored:
            return f"stored content of {self.topic!r} cannot be read at {self.path}: {self.problem}"
        return f"content for {self.topic!r} is refused at {self.path}: {self.problem}"


class Closed(TelexError, RuntimeError):
    """The caller's fault: a hub, topic or subscription was used before it was opened or after it was closed.

    ``what`` names the object, ``fix`` says how to fix the program.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"cannot use {self.what}: {self.fix}"


class WrongThread(TelexError, RuntimeError):
    """The caller's fault: a hub or one of its objects was used outside of the event loop that opened the hub.

    ``operation`` names the operation.
    """

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.operation = operation

    def __str__(self) -> str:
        return (
            f"cannot {self.operation} from here: a hub belongs to the event loop that opened it, so do it in a "
            "coroutine there (in a REPL: async def main(): ...; await main()), or before the hub is opened; "
            "from another thread use topic.publish_threadsafe(...) or telex.blocking.Hub; a handler has an argument "
            "`hub: telex.Hub` if it is `async def`, `hub: telex.blocking.Hub` if it is `def`"
        )


class Timeout(TelexError, TimeoutError):
    """Nobody's fault, or the network's: an operation took longer than its timeout. It was cancelled.

    ``operation`` names the operation, ``seconds`` is its timeout. ``problem`` says why the engine is not reached and
    how to fix it; it is empty when the engine is reached.
    """

    def __init__(self, operation: str, seconds: float, problem: str = "") -> None:
        super().__init__(operation, seconds, problem)
        self.operation = operation
        self.seconds = seconds
        self.problem = problem

    def __str__(self) -> str:
        text = f"{self.operation} took longer than the {self.seconds:g} s it was given"
        return f"{text}: {self.problem}" if self.problem else text


class WouldBlock(TelexError):
    """Nobody's fault: a ``_nowait`` function was called where the coroutine of the same name would wait.

    ``what`` says for what the coroutine would wait.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}; call the coroutine of the same name, without _nowait, to wait for it"


class BufferFull(TelexError):
    """The subscriber's fault, raised in the publisher: the buffer of a subscriber with ``overflow="fail"`` is full. The
    message was not published.

    ``topic`` is the id of the topic, ``buffer`` the size of the buffer in messages.
    """

    def __init__(self, topic: str, buffer: int) -> None:
        super().__init__(topic, buffer)
        self.topic = topic
        self.buffer = buffer

    def __str__(self) -> str:
        return (
            f"nothing was published to {self.topic!r}: a subscriber with overflow='fail' has its {self.buffer} "
            "messages waiting; publish again later, or give the subscriber another overflow policy"
        )


class SlowSubscriber(TelexError):
    """The subscriber's fault: its buffer overflowed, and its overflow policy closed the subscription.

    ``topic`` is the topic's id or pattern, ``lost`` the number of messages that it has missed, ``buffer`` the size of
    its buffer in messages.
    """

    def __init__(self, topic: str, lost: int, buffer: int) -> None:
        super().__init__(topic, lost, buffer)
        self.topic = topic
        self.lost = lost
        self.buffer = buffer

    def __str__(self) -> str:
        return (
            f"the subscription to {self.topic!r} was closed as slow: it fell more than {self.buffer} messages behind "
            f"and missed {self.lost}; subscribe again with start=subscription.position to get what the log still has, "
            "or with a larger buffer"
        )


class ConnectFailed(TelexError, ConnectionError):
    """The network's or the server's fault: there is no server at ``url``, or none that speaks the protocol.

    ``url`` never holds a password; ``problem`` is the cause.
    """

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(url, problem)
        self.url = url
        self.problem = problem

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.problem}"


class EngineFailed(TelexError):
    """The engine's, the disk's or the network's fault: the engine did not do an operation, and stored nothing of it.

    ``what`` names the operation and the engine, ``problem`` is the cause and how to fix it.
    """

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what = what
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.what} failed: {self.problem}"


class Nack(TelexError):
    """Raised on purpose by a group's handler: redeliver this message after ``delay`` seconds (None: as the handler's
    `Retry` says). Raised by a command with ``once=True``: begin the next attempt after ``delay`` (None: its backoff).
    """

    def __init__(self, delay: float | str | None = None) -> None:
        super().__init__(delay)
        self.delay = delay

    def __str__(self) -> str:
        return "the handler asked for a redelivery"


class Reject(TelexError):
    """Raised on purpose by a group's handler: make this message a dead letter at once. Raised by a command with
    ``once=True``: record this error, without another attempt. ``reason`` is text for people.
    """

    def __init__(self, reason: str = "its handler rejected it") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NoHandler(TelexError, LookupError):
    """Nobody's fault, or the deployment's: no open hub serves this command.

    ``command`` is its name.
    """

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command

    def __str__(self) -> str:
        return (
            f"nobody serves the command {self.command!r}: declare it with @hub.command({self.command!r}) in a program "
            "that runs on the same engine, or hub.send it to be run when a program serves it"
        )


class CommandError(TelexError):
    """Raised by a command's handler on purpose: the outcome of the command is a failure.

    ``message`` is text for people, ``code`` a word for programs (a subclass may set it), and ``data`` holds more
    details and has a JSON form. With ``final=False`` a command that runs once is tried again.
    """

    code: str = "failed"

    def __init__(self, message: str = "", *, code: str | None = None, data: object = None, final: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.final = final
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message if isinstance(self.message, str) else text_of(self.message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message,), self.__dict__


class CommandFailed(TelexError):
    """The handler's fault, raised in the sender: the outcome of the command is an error.

    ``command`` and ``key`` name the command. ``type`` is the class name of the handler's exception, and ``code``,
    ``message`` and ``data`` are its fields. ``attempt`` and ``replayed`` are those of the outcome. In the process of
    the handler, ``__cause__`` is the exception itself.
    """

    def __init__(
        self,
        command: str,
        type: str,
        code: str,
        message: str,
        data: object = None,
        key: str | None = None,
        attempt: int = 1,
        replayed: bool = False,
    ) -> None:
        super().__init__(command, type, code, message, data, key, attempt, replayed)
        self.command = command
        self.type = type
        self.code = code
        self.message = message
        self.data = data
        self.key = key
        self.attempt = attempt
        self.replayed = replayed

    def __str__(self) -> str:
        return f"the command {self.command!r} failed: {self.type}: {self.message}"


class PartsLost(TelexError):
    """The reader's fault: it read the stream of a ``command`` so late that ``count`` parts, or more, are gone."""

    def __init__(self, command: str, count: int) -> None:
        super().__init__(command, count)
        self.command = command
        self.count = count

    def __str__(self) -> str:
        return (
            f"{self.count} parts or more of the stream of the command {self.command!r} are no longer kept: read a "
            "stream while its command runs, or within an hour of its end"
        )


class StreamRestarted(TelexError):
    """Nobody's fault: the worker of a command that yields has died, and another begins the stream again.

    ``command`` is its name, ``attempt`` the number of the new attempt. The parts before are void. Iterate over the same
    `Stream` again for the parts of the new attempt.
    """

    def __init__(self, command: str, attempt: int) -> None:
        super().__init__(command, attempt)
        self.command = command
        self.attempt = attempt

    def __str__(self) -> str:
        return (
            f"the stream of the command {self.command!r} begins again, attempt {self.attempt}: its worker has died; "
            "drop the parts that you have, and iterate over the stream again"
        )


class CommandExpired(CommandFailed):
    """Nobody's fault: the command had not begun when its ``expires`` or ``timeout`` was over, and nothing was done."""


class NoSuchCommand(TelexError, LookupError):
    """The caller's fault: there is no command with this ``id``, or it has ended and its outcome is no longer kept."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        keep = "if it has ended, declare it with keep='1d' to keep its outcomes for a day"
        return f"there is no command with the id {self.id!r}: check the id and the engine; {keep}"


class KeyConflict(TelexError):
    """The sender's fault: the key was used for this command with other content. The command did not run.

    ``command`` and ``key`` name the command.
    """

    def __init__(self, command: str, key: str) -> None:
        super().__init__(command, key)
        self.command = command
        self.key = key

    def __str__(self) -> str:
        return (
            f"the key {_shown(self.key)} of the command {self.command!r} was used with other content; "
            "use a new key for a new command, and the same content to repeat one"
        )


class InProgress(TelexError):
    """Nobody's fault: the command with this key is running, and the sender asked not to wait for it.

    ``command`` and ``key`` name the command.
    """

    def __init__(self, command: str, key: str) -> None:
        super().__init__(command, key)
        self.command = command
        self.key = key

    def __str__(self) -> str:
        return (
            f"the command {self.command!r} with the key {_shown(self.key)} is running; send it again later, "
            "or with duplicate='wait', to get its outcome"
        )


def printable(text: str) -> str:
    """Escape the lone surrogates of a text, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def text_of(value: object) -> str:
    """Return ``str(value)``, printable; also when ``__str__`` raises."""
    try:
        return printable(str(value))
    except Exception as error:  # noqa: BLE001  # the class may belong to any program
        return f"<{type(value).__name__} whose str() raises {type(error).__name__}>"


def reason_of(error: BaseException) -> str:
    """Return the class name and the text of an error."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown(value: object) -> str:
    """Return ``repr(value)``, printable; also when ``__repr__`` raises."""
    try:
        return printable(repr(value))
    except Exception as error:  # noqa: BLE001  # the class may belong to any program
        return f"<{type(value).__name__} whose repr() raises {type(error).__name__}>"


def _shown(value: object) -> str:
    """Return at most 120 characters of ``repr(value)``: an error does not carry a whole payload."""
    text = shown(value)
    return text if len(text) <= 120 else text[:117] + "..."
