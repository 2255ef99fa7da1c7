import asyncio
import sqlite3
import tempfile

import telex

path = f"{tempfile.mkdtemp()}/shop.db"
hub = telex.Hub(f"sqlite:///{path}")


def place_orders() -> None:  # no event loop: a web framework, a script, a thread
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
    for number, is_paid in ((17, True), (18, False)):
        with connection:  # commits, or rolls back
            connection.execute("INSERT INTO orders VALUES (?)", (number,))
            hub.join(connection).publish("orders:new", {"number": number})
            if not is_paid:
                connection.rollback()
    connection.close()


async def main() -> None:
    async with hub, hub.topic("orders:new").subscribe() as inbox:
        await asyncio.to_thread(place_orders)
        print((await inbox.receive(timeout=10)).content, inbox.waiting)


asyncio.run(main())
