"""Functions at the top level of a module, for the tests of worker processes."""

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import telex


@dataclass
class Order:
    number: int


class OutOfStock(telex.CommandError):
    code = "out_of_stock"


def double(number: int) -> int:
    return number * 2


def pid(content: object) -> int:
    return os.getpid()


def whole(message: telex.Message[Order]) -> list[Any]:
    return [message.topic, message.id, dict(message.headers), type(message.content).__name__, message.content.number]


def untyped(order):  # type: ignore[no-untyped-def]  # the content's own class is used
    return [type(order).__name__, order.number]


def fail(kind: str) -> None:
    if kind == "nack":
        raise telex.Nack("5s")
    if kind == "reject":
        raise telex.Reject("not ours")
    if kind == "command":
        raise OutOfStock("none left", data={"left": 0})
    raise ValueError("mine")


def fail_with(escaped: str) -> None:
    """Raise an exception whose text has the characters that the content names by their escapes."""
    raise ValueError(escaped.encode().decode("unicode_escape"))


def die(content: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(content: object) -> None:
    raise SystemExit(3)


def sum_up(numbers: list[int]) -> int:
    return sum(numbers)


def be_stopped(content: object) -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    return "works on"


def end_a_program(content: object) -> list[int]:
    with subprocess.Popen(["sleep", "60"]) as one, subprocess.Popen(["sleep", "60"]) as other:
        one.terminate()
        other.send_signal(signal.SIGINT)
        try:
            return [one.wait(5), other.wait(5)]
        finally:
            one.kill()
            other.kill()


def note_and_wait(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    threading.Event().wait(60)


def note(path: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")


def give_an_object(content: object) -> object:
    return object()


def give_a_coroutine(content: object) -> object:
    async def never() -> None: ...

    return never()
