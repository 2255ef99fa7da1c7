"""The places in which a handler is called: the event loop, a thread or a process."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from telex.errors import BadHandler, BadOption
from telex.handlers.signature import calls_async, hints_of, is_stream, marks_of, name_of
from telex.process.worker import Task

if TYPE_CHECKING:
    from telex.message import Message
    from telex.runtime import Runtime

RunIn = Literal["loop", "thread", "process"]
"""The place in which a function is called."""


def check_run_in(given: object) -> None:
    """Raise `BadOption` for an option ``run_in`` that is no place."""
    if given not in (None, "loop", "thread", "process"):
        raise BadOption("run_in", given, "it must be 'thread' (the default of `def` functions), 'loop' or 'process'")


def check_place(given: object, function: Callable[..., object], wants: Sequence[str]) -> RunIn:
    """Return the place in which a function is called; ``given`` is the option ``run_in``, None for the default.

    By default the event loop calls async functions and functions that are not written in Python, such as
    ``list.append``, and a thread calls all others. Raises `BadOption`, `BadHandler`.
    """
    name = name_of(function)
    check_run_in(given)
    if calls_async(function) or is_stream(function):
        if given not in (None, "loop"):
            fix = f"{name} is `async def`, and runs in the event loop: leave out run_in=, or make it `def`"
            raise BadOption("run_in", given, fix)
        if "blocking_hub" in wants:
            raise BadHandler(name, "it is `async def`, so waiting for a telex.blocking.Hub blocks it: take a telex.Hub")
        return "loop"
    if given is None and "tx" not in wants:
        given = "loop" if inspect.isbuiltin(function) else "thread"
    if given != "process" and "tx" in wants:
        raise BadHandler(name, "a transaction is awaited: make it `async def`")
    if given == "process":
        _check_process(function, wants, name)
    elif given == "thread" and "hub" in wants:
        is_text = any(isinstance(hint, str) for hint in hints_of(function).values())
        there = ", imported outside of `if TYPE_CHECKING:`" if is_text else ""
        raise BadHandler(
            name,
            "a thread calls it, and cannot await the methods of a telex.Hub, so a publish would be lost: annotate the "
            f"argument `telex.blocking.Hub`{there}, whose methods wait; or make the function `async def`; or give "
            "run_in='loop', where it may use methods such as publish_nowait",
        )
    elif given == "loop" and "blocking_hub" in wants:
        raise BadHandler(
            name, "it waits for a telex.blocking.Hub, which blocks the event loop: leave out run_in='loop'"
        )
    return given  # type: ignore[return-value]  # one of the three


def _check_process(function: Callable[..., object], wants: Sequence[str], name: str) -> None:
    """Raise `BadHandler` for a function that another process cannot find, or cannot be given its arguments."""
    if not inspect.isfunction(function) or "<" in function.__qualname__:
        raise BadHandler(
            name,
            "another process has to import it: with run_in='process' it must be a `def` function at the top level of a "
            "module, not a lambda, a nested function, a method or a partial",
        )
    if function.__module__ == "__main__" and not _is_importable_program():
        fix = "put it into a file that the program imports, or leave out run_in="
        raise BadHandler(name, f"another process cannot import it from a REPL, from stdin or from __main__.py: {fix}")
    if marks_of(function):
        raise BadHandler(name, "dependencies stay in this process: with run_in='process', make what it needs in it")
    if "contents" in wants or "messages" in wants:
        raise BadHandler(name, "a process is given one message: leave out batch= or run_in='process'")
    for kind in wants:
        if kind not in ("content", "message"):
            raise BadHandler(
                name,
                f"it has an argument for the {kind.replace('_', ' ')}, which stays in this process: with "
                "run_in='process' take the content or the telex.Message, and return a result",
            )


def _is_importable_program() -> bool:
    """Return true when a spawned process imports the program: it is a file, and not the ``__main__.py`` of a folder."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    return Path(getattr(main, "__file__", None) or "").is_file() and not (spec and spec.name.endswith("__main__"))


def bind_thread(invoke: Callable[[Any], Any], name: str, runtime: Runtime) -> Callable[[Any], Any]:
    """Return a function of one object that calls ``invoke`` with it in a thread. Its result is awaitable."""
    submit = runtime.threads.submit
    return lambda source: submit(invoke, source, name)


def bind_process(
    function: Callable[..., object], wants: tuple[str, ...], name: str, runtime: Runtime, *, calls: int, answers: bool
) -> Callable[[Message[Any]], Any]:
    """Return a function of a message that calls ``function`` in a process. Its result is awaitable. ``calls`` run at
    once; without ``answers`` their results are dropped.
    """
    pool = runtime.processes
    pool.expect(calls)
    task = partial(Task, f"{function.__module__}:{function.__qualname__}", wants)

    def submit(message: Message[Any]) -> Any:
        cls = type(message.content)
        nameless = cls.__module__ == "builtins" or "<" in cls.__qualname__
        type_name = None if nameless else f"{cls.__module__}:{cls.__qualname__}"
        return pool.submit(task(msgspec.Raw(message.to_json()), type_name, answers), name)

    return submit
