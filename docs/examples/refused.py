import asyncio
import json

import msgspec

import telex


class Author(msgspec.Struct):
    name: str


class Chat(msgspec.Struct):
    author: Author
    text: str


async def main() -> None:
    async with telex.Hub() as hub:
        room = hub.topic("chatroom:1", Chat)
        message = await room.publish(json.loads('{"author": {"name": "ada"}, "text": "hello"}'))
        print(message.content)
        try:
            await room.publish(json.loads('{"author": {"name": 7}, "text": "hello"}'))
        except telex.ContentError as error:
            print(error.path, "-", error.problem)


asyncio.run(main())
