"""Notifications of other processes."""

import pytest

from telex.engines.fetching import FetchWaiters
from telex.engines.postgres import PostgresEngine
from telex.testing.conformance.rig import Rig
from tests.support.loops import until
from tests.unit.engines.postgres.rigs import admin, value

pytestmark = pytest.mark.slow
SELDOM = "&poll=60s"
"""Without a notification, a message comes much later than a test waits."""
LISTENING = "FROM pg_stat_activity WHERE query = 'LISTEN \"telex_engines\"'"


async def test_a_message_of_another_process_comes_with_its_notification(engines: str) -> None:
    url = engines + SELDOM
    async with Rig(PostgresEngine.from_url(url)) as one, Rig(PostgresEngine.from_url(url)) as two:
        for number in range(3):
            await one.send("heard", number)
            await two.until(lambda: len(two.contents("heard")) == number + 1, "the message")  # noqa: B023
        assert two.contents("heard") == [0, 1, 2]


class Stirs(FetchWaiters):
    """The fetches of an engine, which record whom they let look."""

    def __init__(self) -> None:
        super().__init__()
        self.patterns: list[str | None] = []

    def stir(self, pattern: str | None = None) -> None:
        self.patterns.append(pattern)
        super().stir(pattern)


async def test_fetches_of_a_group_look_again_when_another_process_nacks(engines: str) -> None:
    engine, stirs = PostgresEngine.from_url(engines + SELDOM), Stirs()
    engine.client.link.fetches = stirs
    async with Rig(PostgresEngine.from_url(engines + SELDOM)) as one, Rig(engine):
        await one.send("nacked", 1)
        await one.join("g", "nacked")
        (delivery,) = await one.fetch("g", "nacked", lease=300.0)
        stirs.patterns.clear()
        assert await one.settle("g", "nacked", delivery, "nack")
        await until(lambda: stirs.patterns)
        assert stirs.patterns == ["nacked"]


async def test_a_notification_of_another_program_is_logged_and_changes_nothing(
    engines: str, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = engines + SELDOM
    async with Rig(PostgresEngine.from_url(url)) as one, Rig(PostgresEngine.from_url(url)) as two:
        async with admin(postgres) as connection:
            for text in ("mnonsense", "m1:2", "m1:2:3=x"):
                await connection.execute("SELECT pg_notify('telex_engines', %s)", (text,))
        await one.send("strange", 1)
        await two.until(lambda: two.contents("strange") == [1], "the message")
    assert sum("is not from telex" in record.getMessage() for record in caplog.records) == 2 * 3


async def test_a_broken_connection_is_replaced_and_missed_messages_are_read(engines: str, postgres: str) -> None:
    url = engines + SELDOM
    async with Rig(PostgresEngine.from_url(url)) as one, Rig(PostgresEngine.from_url(url)) as two:
        async with admin(postgres) as connection:
            old = await value(connection, f"SELECT array_agg(pid) {LISTENING}")
            assert len(old) == 2
            await connection.execute(f"SELECT pg_terminate_backend(pid) {LISTENING}".encode())
            await one.send("cut", 1)
            await two.until(lambda: two.contents("cut") == [1], "the message that was published meanwhile")

            async def replaced() -> bool:
                found = await value(connection, f"SELECT array_agg(pid) {LISTENING}")
                return found is not None and len(found) == 2 and not set(found) & set(old)

            await until(replaced)
        await one.send("cut", 2)
        await two.until(lambda: two.contents("cut") == [1, 2], "a message by its notification")
