import telex.blocking

with telex.blocking.Hub() as hub:
    room = hub.topic("chatroom:1")
    with room.subscribe() as inbox:
        room.publish("hello")
        print(inbox.receive(timeout=1).content)
