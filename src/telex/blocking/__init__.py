"""The hub for programs without asyncio: ``with telex.blocking.Hub() as hub:``.

The hub runs in a thread with its own event loop. Call everything here from any other thread: each method waits for its
result, and raises the errors of the coroutine of the same name. Other threads call the sync functions that are
declared with `Hub.on` and `Hub.command`, and the hub's thread calls the async functions.
"""

from telex.blocking.groups import BlockingGroups as Groups
from telex.blocking.hub import BlockingHub as Hub
from telex.blocking.ticket import BlockingFollower as Follower
from telex.blocking.ticket import BlockingStream as Stream
from telex.blocking.ticket import BlockingTicket as Ticket
from telex.blocking.topic import BlockingSubscription as Subscription
from telex.blocking.topic import BlockingTopic as Topic
from telex.blocking.transaction import BlockingTransaction as Transaction
from telex.blocking.triggers import BlockingTrigger as Trigger
from telex.blocking.triggers import BlockingVariable as Variable

__all__ = [
    "Follower",
    "Groups",
    "Hub",
    "Stream",
    "Subscription",
    "Ticket",
    "Topic",
    "Transaction",
    "Trigger",
    "Variable",
]
