"""Every exception that telex raises, under one root.

Each class keeps its fields as attributes and builds its text from them, so it survives pickle and copy, and a program
can act on the fields instead of parsing the text. The first line of each docstring says whose fault it is.
"""

from __future__ import annotations


class TelexError(Exception):
    """The root: catch this to catch everything that telex raises on purpose."""


class BadName(TelexError, ValueError):
    """The caller's fault: a topic id or a pattern breaks the rules of names.

    ``name`` is what was given, ``problem`` says what is wrong with it and what to write instead.
    """

    def __init__(self, name: object, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        return f"bad name {_shown(self.name)}: {self.problem}"


class BadOption(TelexError, ValueError):
    """The caller's fault: an argument has a value that it cannot have.

    ``option`` is the argument's name, ``value`` what was given, ``fix`` what to give instead.
    """

    def __init__(self, option: str, value: object, fix: str) -> None:
        super().__init__(option, value, fix)
        self.option = option
        self.value = value
        self.fix = fix

    def __str__(self) -> str:
        return f"bad {self.option} {_shown(self.value)}: {self.fix}"


class Misuse(TelexError, TypeError):
    """The caller's fault: an object was used in a way that it does not support, such as ``for`` where only
    ``async for`` works, a wait inside the transaction that it would wait for, or groups on an engine without groups.

    ``operation`` is what was tried, ``fix`` what to do instead.
    """

    def __init__(self, operation: str, fix: str) -> None:
        super().__init__(operation, fix)
        self.operation = operation
        self.fix = fix

    def __str__(self) -> str:
        return f"cannot {self.operation}: {self.fix}"


class BadHandler(TelexError, TypeError):
    """The caller's fault: a function cannot be a handler as it is declared. Raised by the decorator, not by a message.

    ``handler`` is the function's name, ``problem`` says what to change.
    """

    def __init__(self, handler: str, problem: str) -> None:
        super().__init__(handler, problem)
        self.handler = handler
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.handler} cannot be a handler: {self.problem}"


class ContentError(TelexError, ValueError):
    """The publisher's fault: content does not fit the type of its topic.

    ``topic`` is the topic's id, ``problem`` what does not fit, ``path`` the place in the content (``$.author.name``).
    """

    def __init__(self, topic: str, problem: str, path: str = "$") -> None:
        super().__init__(topic, problem, path)
        self.topic = topic
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        return f"content for {self.topic!r} is refused at {self.path}: {self.problem}"


class Closed(TelexError, RuntimeError):
    """The caller's fault: a hub, topic or subscription was used before it was opened or after it was closed.

    ``what`` names it, ``fix`` says what to do.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"cannot use {self.what}: {self.fix}"


def reason_of(error: BaseException) -> str:
    """An error in one line of text: the name of its type and what it says."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class WrongThread(TelexError, RuntimeError):
    """The caller's fault: something of a hub was used outside the event loop that the hub was opened in.

    ``operation`` says what was tried.
    """

    def __init__(self, operation: str) -> None:
        super().__init__(operation)
        self.operation = operation

    def __str__(self) -> str:
        return (
            f"cannot {self.operation} from here: a hub belongs to the event loop that opened it, so do it in a "
            "coroutine there (in a REPL: async def main(): ...; await main()), or before the hub is opened; "
            "from another thread use topic.publish_threadsafe(...) or telex.blocking.Hub, and in a handler "
            "an argument `hub: telex.Hub`"
        )


class Timeout(TelexError, TimeoutError):
    """Nobody's fault, or the network's: what was waited for did not come in the time given. Nothing is left behind.

    ``operation`` says what waited, ``seconds`` how long.
    """

    def __init__(self, operation: str, seconds: float) -> None:
        super().__init__(operation, seconds)
        self.operation = operation
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.operation} took longer than the {self.seconds:g} s it was given"


class WouldBlock(TelexError):
    """Nobody's fault: a ``_nowait`` function was called where its coroutine would have waited.

    ``what`` says for what it would have waited.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}; call the coroutine of the same name, without _nowait, to wait for it"


class BufferFull(TelexError):
    """The subscriber's fault, told to the publisher: a subscriber with ``overflow="fail"`` is full. No one got the
    message.

    ``topic`` is the topic's id, ``buffer`` how many messages that subscriber may have waiting.
    """

    def __init__(self, topic: str, buffer: int) -> None:
        super().__init__(topic, buffer)
        self.topic = topic
        self.buffer = buffer

    def __str__(self) -> str:
        return (
            f"nothing was published to {self.topic!r}: a subscriber with overflow='fail' has its {self.buffer} "
            "messages waiting; publish again when it has taken some, or give it another overflow policy"
        )


class SlowSubscriber(TelexError):
    """The subscriber's fault: it fell behind further than its buffer, and its policy ends it for that.

    ``topic`` is the topic's id or pattern, ``lost`` how many messages it has missed by now, ``buffer`` its size.
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
    """The network's or the server's fault: nothing at ``url`` could be reached or understood.

    ``url`` never holds a password; ``problem`` says what happened.
    """

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(url, problem)
        self.url = url
        self.problem = problem

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.problem}"


class EngineFailed(TelexError):
    """The engine's, the disk's or the network's fault: what was asked was not done, and nothing of it was kept.

    ``what`` says what was asked of which engine, ``problem`` what happened and what mends it.
    """

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what = what
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.what} failed: {self.problem}"


class Nack(TelexError):
    """Raised by a group's handler on purpose: this message is to be tried again, after ``delay`` seconds (None: as the
    handler's `Retry` says).
    """

    def __init__(self, delay: float | str | None = None) -> None:
        super().__init__(delay)
        self.delay = delay

    def __str__(self) -> str:
        return "its handler asked for another try"


class Reject(TelexError):
    """Raised by a group's handler on purpose: this message will never be handled, it becomes a dead letter at once.

    ``reason`` is text for people.
    """

    def __init__(self, reason: str = "its handler rejected it") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NoHandler(TelexError, LookupError):
    """Nobody's fault, or the deployment's: no hub that is open serves this command, so waiting for it is of no use.

    ``command`` is its name.
    """

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command

    def __str__(self) -> str:
        return (
            f"nobody serves the command {self.command!r}: declare it with @hub.command({self.command!r}) in a program "
            "that runs on the same engine, or hub.send it to be carried out when somebody does"
        )


class CommandError(TelexError):
    """Raised by a command's handler on purpose: the command has failed, and that is its outcome.

    ``message`` is text for people, ``code`` a word for programs (a subclass may set it once for all), ``data`` what
    else there is to know, with a JSON form. With ``final=False`` a command that runs once is tried again.
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
    """The handler's fault, told to whoever sent the command: its outcome is an error.

    ``command`` and ``key`` say which; ``type`` is what was raised, as its class is called, with its ``code``,
    ``message`` and ``data``; ``attempt`` and ``replayed`` are those of the outcome. In the process of the handler the
    exception itself is the ``__cause__``.
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


class KeyConflict(TelexError):
    """The sender's fault: the key was used for this command with other content. Nothing was run for it.

    ``command`` and ``key`` say which.
    """

    def __init__(self, command: str, key: str) -> None:
        super().__init__(command, key)
        self.command = command
        self.key = key

    def __str__(self) -> str:
        return (
            f"the key {_shown(self.key)} of the command {self.command!r} was used with other content; "
            "a new command needs a key of its own, and a repeat the content of the first"
        )


class InProgress(TelexError):
    """Nobody's fault: the command with this key runs already, and it was asked not to wait for it.

    ``command`` and ``key`` say which.
    """

    def __init__(self, command: str, key: str) -> None:
        super().__init__(command, key)
        self.command = command
        self.key = key

    def __str__(self) -> str:
        return (
            f"the command {self.command!r} with the key {_shown(self.key)} is being carried out; send it again later, "
            "or with duplicate='wait', to get its outcome"
        )


def printable(text: str) -> str:
    """Text as it can be stored and sent: a lone surrogate, which has no UTF-8 form, is written as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def text_of(value: object) -> str:
    """``str(value)`` as it can be stored and sent, whatever its ``__str__`` does."""
    try:
        return printable(str(value))
    except Exception as error:  # noqa: BLE001  # it is another program's, and may raise anything
        return f"<{type(value).__name__} whose str() raises {type(error).__name__}>"


def shown(value: object) -> str:
    """``repr(value)`` as it can be stored and sent, whatever its ``__repr__`` does."""
    try:
        return printable(repr(value))
    except Exception as error:  # noqa: BLE001  # it is another program's, and may raise anything
        return f"<{type(value).__name__} whose repr() raises {type(error).__name__}>"


def _shown(value: object) -> str:
    """``repr``, cut so that an error never carries a whole payload."""
    text = shown(value)
    return text if len(text) <= 120 else text[:117] + "..."
