"""The chat room as an app, as `create_app` makes it."""

import telex
from telex.chat.words import Said
from tests.unit.chat.visitors import chat


async def test_a_room_keeps_its_last_1000_messages() -> None:
    async with chat() as app:
        room: telex.Topic[Said] = app.state.hub.topic("chatroom:lobby", Said)
        for number in range(1005):
            room.publish_nowait(Said("Ann", str(number)))
        assert [message.content.text async for message in room.history()] == [str(n) for n in range(5, 1005)]
