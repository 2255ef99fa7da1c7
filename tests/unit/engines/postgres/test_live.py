"""The reader of new messages."""

from time import monotonic

import pytest

import telex
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


@pytest.mark.slow
async def test_a_message_comes_within_the_poll_interval_when_notifications_are_lost(postgres: str) -> None:
    url = url_of(postgres, "deaf") + "&poll=200ms"
    async with telex.Hub(url) as one, telex.Hub(url) as two, two.topic(T).subscribe() as inbox:
        async with admin(postgres) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN \"telex_deaf\"'"
            )
            await connection.execute("CREATE FUNCTION deaf.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''")
            await connection.execute("ALTER FUNCTION deaf.append SET search_path = deaf, pg_catalog")
        for number in range(3):
            await one.topic(T).publish(number)
            began = monotonic()
            assert (await inbox.receive(timeout=5)).content == number
            assert monotonic() - began < 2
