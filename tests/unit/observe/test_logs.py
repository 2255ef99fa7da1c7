"""Log records as JSON."""

import json
import logging
from typing import Any

import pytest

import telex
from telex.observe import JsonFormatter
from telex.observe.headers import carried

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def written(message: str, *arguments: object, **more: Any) -> dict[str, Any]:
    record = logging.getLogger("shop").makeRecord("shop", logging.WARNING, "", 1, message, arguments, None, extra=more)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_record_is_one_object_with_its_fields() -> None:
    found = written("order %d\nis late", 7, order=7, paid=False, lines=["a"])
    time = found.pop("time")
    assert time.endswith("Z")
    assert found == {
        "level": "WARNING",
        "logger": "shop",
        "message": "order 7\nis late",
        "order": 7,
        "paid": False,
        "lines": "['a']",
    }


def test_a_field_cannot_replace_one_of_the_formatter() -> None:
    assert written("real", level="DEBUG", time="never")["level"] == "WARNING"


@pytest.mark.parametrize(
    "message",
    [
        "cannot reach postgresql://shop:hunter2@db/shop",
        "password=hunter2",
        'config {"api_key": "hunter2"}',
        "Authorization: Bearer hunter2",
        "token: 'hunter2'",
        "Authorization: Basic hunter2",
        "{'authorization': 'Bearer hunter2'}",
        "Set-Cookie: a=1; session=hunter2",
        "AWS_SECRET_ACCESS_KEY=hunter2",
        "{'api-key': 'hunter2'}",
        "postgresql://shop:a@hunter2@db/shop",
        "postgresql://shop:a/hunter2@db/shop",
    ],
)
def test_secrets_in_text_are_not_written(message: str) -> None:
    found = written("%s", message, note=message)
    assert "hunter2" not in json.dumps(found)
    assert "[hidden]" in found["message"]


@pytest.mark.parametrize("name", ["password", "db_passwd", "AccessToken", "client_secret", "cookie", "api_key"])
def test_the_value_of_a_field_with_the_name_of_a_secret_is_not_written(name: str) -> None:
    assert written("x", **{name: "hunter2"})[name] == "[hidden]"


def test_odd_values_have_a_line() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    class Cents(int): ...

    class Share(float): ...

    found = written("lone \ud800", big=1 << 80, nothing=None, number=float("nan"))
    assert found["message"] == "lone \\ud800"
    assert (found["big"], found["nothing"], found["number"]) == (str(1 << 80), None, None)
    found = written("of a class of the program", cents=Cents(3), share=Share(0.5), broken=Broken())
    assert (found["cents"], found["share"]) == (3, 0.5)
    assert "raises ValueError" in found["broken"]
    assert written("see http://127.0.0.1:80/@me")["message"] == "see http://127.0.0.1:80/@me"


async def test_the_error_of_a_handler_has_the_trace_and_the_correlation_of_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    formatter, lines = JsonFormatter(), []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(formatter.format(record)))

    hub = telex.Hub()

    @hub.on("live")
    async def live(content: int) -> None:
        raise ValueError("password=hunter2")

    @hub.on("grouped", group="g", retry=telex.Retry(attempts=1))
    async def grouped(content: int) -> None:
        raise ValueError("mine")

    keeping = Keeping()
    logging.getLogger("telex.handlers").addHandler(keeping)
    try:
        async with hub:
            for topic in ("live", "grouped"):
                await hub.topic(topic).publish(1, headers={"traceparent": PARENT, "correlation-id": "order 7"})
            await hub.idle()
    finally:
        logging.getLogger("telex.handlers").removeHandler(keeping)
    assert len(lines) == 3
    for line in lines:
        assert (line["trace_id"], line["span_id"]) == (PARENT[3:35], PARENT[36:52])
        assert line["correlation_id"] == "order 7"
    assert "ValueError" in lines[0]["error"]
    assert "hunter2" not in json.dumps(lines)
    assert carried.get() is None
