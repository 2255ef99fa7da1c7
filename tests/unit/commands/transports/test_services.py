"""Heartbeats: which hub serves a command, and which hubs are alive."""

from time import time
from typing import Any

import msgspec
import pytest

import telex
from telex.commands.transports.services import BUCKET, SERVES_SECONDS, Heartbeat, ServiceRegistry
from tests.support.internals import engine_of, records_of


@pytest.mark.parametrize(("ago", "serves"), [(SERVES_SECONDS - 2, True), (SERVES_SECONDS + 2, None), (3600.0, None)])
async def test_a_hub_without_a_heartbeat_serves_nothing(ago: float, serves: bool | None) -> None:
    assert SERVES_SECONDS == 15.0, "docs/commands.md says so"
    async with telex.Hub() as hub:
        records = records_of(hub)
        assert records is not None
        sign = msgspec.json.encode(Heartbeat(engine_of(hub).now() - ago, {"build": True}))
        assert await records.put(BUCKET, "other", sign, 0) is not None
        directory = ServiceRegistry(records, "this one", engine_of(hub).now)
        assert await directory.find("build", 0.0) is serves


async def test_each_sign_of_life_is_one_write(file: str) -> None:
    async with telex.Hub(file) as hub:
        records: Any = records_of(hub)
        written: list[int] = []

        class Counted:
            get, keys = records.get, records.keys

            async def put(self, *arguments: Any) -> int | None:
                revision: int | None = await records.put(*arguments)
                written.append(revision or 0)
                return revision

        counted: Any = Counted()
        directory = ServiceRegistry(counted, "this one", time)
        for _ in range(3):
            await directory.beat()
        assert len(written) == 3
        assert all(written)
