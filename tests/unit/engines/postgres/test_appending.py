"""The functions of the schema that store messages."""

import psycopg
import pytest

import telex
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


@pytest.mark.slow
async def test_messages_of_an_outbox_do_not_overtake_those_that_another_process_has_taken(postgres: str) -> None:
    url = url_of(postgres, "overtaken")
    async with telex.Hub(url):
        pass
    async with admin(postgres) as other, admin(postgres) as process:
        for number in range(2):
            async with process.transaction():
                await telex.Hub(url).join(process).publish(T, number)
            if number == 0:
                await other.execute("BEGIN; SELECT FROM overtaken.delayed FOR UPDATE")
        await process.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await process.execute("SELECT overtaken.publish_due(100)")
        await other.execute("ROLLBACK")
    async with telex.Hub(url) as hub, hub.topic(T).subscribe(start="earliest") as inbox:
        assert [(await inbox.receive(timeout=5)).content for _ in range(2)] == [0, 1]
