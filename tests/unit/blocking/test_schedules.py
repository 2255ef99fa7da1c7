"""Schedules of a hub without asyncio."""

from telex import blocking


def test_schedules_are_added_changed_and_deleted() -> None:
    with blocking.Hub("memory://") as hub:
        hub.schedules.fire()
        assert hub.schedules.add("tick", "@daily", topic="ticks").topic == "ticks"
        assert hub.schedules.change("tick", "every 10s").when == "every 10s"
        assert hub.schedules.pause("tick").paused
        assert not hub.schedules.resume("tick").paused
        assert hub.schedules.get("tick") == hub.schedules.list()[0]
        assert hub.schedules.delete("tick")
        assert hub.schedules.list() == []
