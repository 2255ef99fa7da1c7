"""Triggers and variables without asyncio."""

import pytest

import telex


def test_triggers_and_variables() -> None:
    hub = telex.blocking.Hub()
    fired: list[str] = []
    count = hub.variable("signups", 0)

    @hub.when(count >= 2, name="many", run_in="loop")
    def many() -> None:
        fired.append("many")

    nightly = hub.cron("0 3 * * *", topic="nights", name="nightly")
    with hub, hub.topic("nights").subscribe() as nights, hub.topic("later").subscribe() as later:
        assert (count.add(1), count.update(lambda n: n + 1), count.value) == (1, 2, 2)
        nightly.fire()
        assert nights.receive(timeout=5).content.trigger == "nightly"
        nightly.pause()
        assert [trigger.paused for trigger in hub.triggers() if trigger.trigger == "nightly"] == [True]
        hub.trigger("nightly").resume()
        assert not nightly.statistics().paused
        hub.after(0.001, topic="later")  # declared while the hub is open
        assert later.receive(timeout=5).content.trigger == "later"
        nightly.cancel()
        assert nightly.statistics().ended
        with pytest.raises(telex.BadOption):
            hub.every("10s", jitter="20s", name="wrong")
    assert fired == ["many"]
    with pytest.raises(telex.Misuse):
        bool(count)
