"""The same hub for programs that are not async: ``with telex.blocking.Hub() as hub:``.

The hub runs in a thread of its own, on an event loop of its own. Everything here may be called from any thread but
that one, waits for its result, and raises what the coroutine of the same name raises. Handlers declared with `Hub.on`
and `Hub.command` are called in the hub's thread.
"""

from telex.blocking.groups import Groups
from telex.blocking.hub import Hub
from telex.blocking.ticket import Follower, Ticket
from telex.blocking.topic import Subscription, Topic
from telex.blocking.transaction import Transaction
from telex.blocking.triggers import Trigger, Variable

__all__ = ["Follower", "Groups", "Hub", "Subscription", "Ticket", "Topic", "Transaction", "Trigger", "Variable"]
