from threading import Event

import telex.blocking

hub = telex.blocking.Hub("memory://")
seen = Event()


@hub.every("50ms")
def look() -> None:
    seen.set()


with hub:  # in a thread of its own
    seen.wait(10)
    print("seen")
# -> seen
