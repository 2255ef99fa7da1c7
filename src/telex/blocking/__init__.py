"""The same hub for programs that are not async: ``with telex.blocking.Hub() as hub:``.

The hub runs in a thread of its own, on an event loop of its own. Everything here may be called from any thread but
that one, waits for its result, and raises what the coroutine of the same name raises. Handlers declared with `Hub.on`
and `Hub.command` are called in the hub's thread.
"""

from telex.blocking.groups import BlockingGroups as Groups
from telex.blocking.hub import BlockingHub as Hub
from telex.blocking.ticket import BlockingFollower as Follower
from telex.blocking.ticket import BlockingTicket as Ticket
from telex.blocking.topic import BlockingSubscription as Subscription
from telex.blocking.topic import BlockingTopic as Topic
from telex.blocking.transaction import BlockingTransaction as Transaction
from telex.blocking.triggers import BlockingTrigger as Trigger
from telex.blocking.triggers import BlockingVariable as Variable

__all__ = ["Follower", "Groups", "Hub", "Subscription", "Ticket", "Topic", "Transaction", "Trigger", "Variable"]
