"""The tasks of a worker process, carried out here: arguments, results and exceptions."""

from collections.abc import Callable
from multiprocessing import Pipe
from threading import Thread
from typing import Any

import msgspec
import pytest

import telex
from telex.process.worker import ANSWER, Raised, Returned, Task, annotated, arguments, found, raised, serve
from tests.unit.process import functions


def task(function: Callable[..., object], message: telex.Message[Any], *wants: str, **options: Any) -> Task:
    name = f"{function.__module__}:{function.__qualname__}"
    kinds = wants or ("content",)
    return Task(name, kinds, msgspec.Raw(message.to_json()), options.get("type"), options.get("answers", True))


def asked(*tasks: Task) -> list[Returned | Raised]:
    """Return the answers of a worker that runs in a thread here."""
    near, far = Pipe()
    thread = Thread(target=serve, args=(far, False))
    thread.start()
    with far, near:
        assert near.recv_bytes() == b"ready"
        answers = []
        for each in tasks:
            near.send_bytes(msgspec.json.encode(each))
            answers.append(ANSWER.decode(near.recv_bytes()))
        near.close()
        thread.join(5)
    return answers


def test_a_worker_answers_task_after_task_until_its_connection_is_closed() -> None:
    answers = asked(
        task(functions.double, telex.Message.new(21)),
        task(functions.fail, telex.Message.new("error")),
        task(functions.double, telex.Message.new(5), answers=False),
    )
    assert answers[0] == Returned(msgspec.Raw(b"42"))
    assert isinstance(answers[1], Raised)
    assert (answers[1].kind, answers[1].type, answers[1].text) == ("error", "ValueError", "mine")
    assert 'raise ValueError("mine")' in answers[1].traceback
    assert answers[2] == Returned(msgspec.Raw(b"null"))


def test_a_result_without_a_json_form_is_an_error_only_where_it_is_asked_for() -> None:
    asking = task(functions.give_an_object, telex.Message.new(1))
    wanted, dropped = asked(asking, msgspec.structs.replace(asking, answers=False))
    assert isinstance(wanted, Raised)
    assert (wanted.type, wanted.code) == ("ContentError", "result_refused")
    assert "it has no JSON form" in wanted.text
    assert dropped == Returned(msgspec.Raw(b"null"))


def test_a_coroutine_is_refused_as_a_result() -> None:
    (answer,) = asked(task(functions.give_a_coroutine, telex.Message.new(1), answers=False))
    assert isinstance(answer, Raised)
    assert (answer.type, "functions:give_a_coroutine" in answer.text) == ("BadHandler", True)


def test_content_has_the_annotated_type() -> None:
    message = telex.Message.new({"number": 7}, topic="orders")
    (found,) = arguments(task(functions.whole, message, "message"), functions.whole)
    assert isinstance(found, telex.Message)
    assert (found.content, found.topic, found.id) == (functions.Order(7), "orders", message.id)


def test_content_has_its_own_class_where_no_type_is_annotated() -> None:
    message = telex.Message.new(functions.Order(7))
    name = f"{functions.__name__}:Order"
    assert arguments(task(functions.untyped, message, type=name), functions.untyped) == [functions.Order(7)]


def test_content_that_does_not_fit_is_refused() -> None:
    with pytest.raises(telex.ContentError):
        arguments(task(functions.double, telex.Message.new("x")), functions.double)


def test_bytes_stay_bytes() -> None:
    assert arguments(task(functions.pid, telex.Message.new(b"\x00\xff")), functions.pid) == [b"\x00\xff"]


def test_exceptions_with_a_meaning_keep_it() -> None:
    assert raised(telex.Nack("5s")).delay == "5s"
    assert raised(telex.Reject("not ours")).text == "not ours"
    found = raised(functions.OutOfStock("none left", data={"left": 0}))
    assert (found.kind, found.type, found.code, found.data, found.final) == (
        *("command", "OutOfStock", "out_of_stock"),
        *(msgspec.Raw(b'{"left":0}'), True),
    )
    assert bytes(raised(telex.CommandError("x", data=object())).data).startswith(b'"<object object')


def test_an_exception_with_a_lone_surrogate_does_not_end_the_worker() -> None:
    odd, again = asked(
        task(functions.fail_with, telex.Message.new("no file \\udcff")), task(functions.double, telex.Message.new(2))
    )
    assert isinstance(odd, Raised)
    assert (odd.type, odd.text) == ("ValueError", "no file \\udcff")
    assert again == Returned(msgspec.Raw(b"4"))


def test_names_are_found_and_annotations_are_read() -> None:
    assert found(f"{functions.__name__}:double") is functions.double
    with pytest.raises(telex.Misuse, match=r"cannot find lost of the module tests\.unit.*: put it into a module"):
        found(f"{functions.__name__}:lost")
    assert annotated(functions.double, ("content",)) is int
    assert annotated(functions.whole, ("message",)) is functions.Order
    assert annotated(functions.untyped, ("content",)) is None
    assert annotated(functions.pid, ("content",)) is None
