"""The trace context of a request, for the messages of a hub."""

import telex
from telex.observe import carry

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_messages_and_commands_get_the_headers_of_the_request() -> None:
    hub = telex.Hub()

    @hub.command("build")
    def build(context: telex.CommandContext[None]) -> dict[str, str]:
        return dict(context.message.headers)

    async with hub:
        topic = hub.topic("orders")
        with carry(hub, {"Traceparent": PARENT, "cookie": "secret"}):
            inside = await topic.publish(1)
            assert topic.publish_nowait(1).headers == {"traceparent": PARENT}
            assert await hub.call("build") == {"traceparent": PARENT}
        with carry(hub, None), carry(hub, {"traceparent": "nonsense"}):
            assert (await topic.publish(2)).headers == {}
        assert inside.headers == {"traceparent": PARENT}
        assert (await topic.publish(3)).headers == {}
        assert await hub.call("build") == {}
