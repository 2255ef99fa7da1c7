"""Django's transactions are joined."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.db import connections, transaction

import telex
import telex.blocking
from telex.ext.django import join


@contextmanager
def django_on(path: Path) -> Iterator[None]:
    """Django's default database on a file."""
    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
        django.setup()
    connections.settings["default"]["NAME"] = str(path)
    try:
        yield
    finally:
        connections["default"].close()
        del connections["default"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.mark.slow
def test_an_atomic_block_of_django_is_joined(path: Path) -> None:
    url = f"sqlite:///{path}"
    with telex.blocking.Hub(url) as hub:
        hub.topic("orders").publish(0)
    joining = telex.Hub(url)
    with django_on(path), transaction.atomic():
        join(joining).publish("orders", "rolled back")
        transaction.set_rollback(True)
    with django_on(path):
        with transaction.atomic():
            join(joining).publish("orders", {"id": 1}, key="k")
        with pytest.raises(telex.BadOption, match=r"transaction\.atomic"):
            join(joining)
    with telex.blocking.Hub(url) as opened, opened.topic("orders").subscribe(start="earliest") as inbox:
        assert [inbox.receive(timeout=10).content for _ in range(2)] == [0, {"id": 1}]
