"""telex: message-driven and event-driven software, in one process or in those of one machine, with one API.

A topic is a log; a subscriber is a cursor. The map of the package, from the bottom up:

names, durations, errors, codec       what names, lengths of time, mistakes and content look like
message                               Message, Lost, Position
log, cursor, holdings, overflow       the kernel: logs, places in them, what waits there, and who falls behind
subscription, batches, wakeup, walk, room, start   the asynchronous shell around a cursor
topic, outlet, history, dedup, topics   a named log; ids that are stored once; all topics of a hub
handlers, router, crew, functions     decorated functions, where they are declared, and the tasks that call them
context, middleware, switch           what stands around a handler; which of several takes what
members, hands, settling, grouping    consumer groups: who claims, who calls, who settles, who looks after them
ledger                                what a group of this process has taken
commands                              what is asked of somebody: sent, carried out, followed
once                                  commands that run once: the machine, and where its records are
triggers                              what publishes by itself when its time has come
hub, transaction                      all of it on one engine
engines                               where logs are kept
blocking                              the same for programs that are not async
gateway, chat, cli                    the network's edge, the chat room, the program
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from telex.commands.command import CommandContext
from telex.commands.desk import Duplicate
from telex.commands.follower import Follower
from telex.commands.local import CommandStatistics
from telex.commands.outcome import Outcome, Progress
from telex.commands.ticket import Ticket
from telex.context import Context, Retry
from telex.durations import Duration
from telex.engines.groups import DeadLetter, GroupInfo
from telex.errors import (
    BadHandler,
    BadName,
    BadOption,
    BufferFull,
    Closed,
    CommandError,
    CommandFailed,
    ConnectFailed,
    ContentError,
    EngineFailed,
    InProgress,
    KeyConflict,
    Nack,
    NoHandler,
    Reject,
    SlowSubscriber,
    TelexError,
    Timeout,
    WouldBlock,
    WrongThread,
)
from telex.hands import HandlerStatistics
from telex.hub import Hub, HubStatistics
from telex.message import Lost, Message, Position
from telex.names import Pattern
from telex.once.machine import Failure
from telex.options import Overflow
from telex.router import Router
from telex.start import Start
from telex.subscription import ReportingSubscription, Subscription, SubscriptionStatistics
from telex.topic import Topic, TopicStatistics
from telex.transaction import Transaction
from telex.triggers.condition import Condition
from telex.triggers.firing import Firing
from telex.triggers.schedule import Misfire
from telex.triggers.stream import Rate
from telex.triggers.trigger import Trigger, TriggerStatistics
from telex.triggers.variable import Change, Variable

if _TYPE_CHECKING:
    from telex import blocking as blocking

__version__ = "0.1.0"

__all__ = [
    "BadHandler",
    "BadName",
    "BadOption",
    "BufferFull",
    "Change",
    "Closed",
    "CommandContext",
    "CommandError",
    "CommandFailed",
    "CommandStatistics",
    "Condition",
    "ConnectFailed",
    "ContentError",
    "Context",
    "DeadLetter",
    "Duplicate",
    "Duration",
    "EngineFailed",
    "Failure",
    "Firing",
    "Follower",
    "GroupInfo",
    "HandlerStatistics",
    "Hub",
    "HubStatistics",
    "InProgress",
    "KeyConflict",
    "Lost",
    "Message",
    "Misfire",
    "Nack",
    "NoHandler",
    "Outcome",
    "Overflow",
    "Pattern",
    "Position",
    "Progress",
    "Rate",
    "Reject",
    "ReportingSubscription",
    "Retry",
    "Router",
    "SlowSubscriber",
    "Start",
    "Subscription",
    "SubscriptionStatistics",
    "TelexError",
    "Ticket",
    "Timeout",
    "Topic",
    "TopicStatistics",
    "Transaction",
    "Trigger",
    "TriggerStatistics",
    "Variable",
    "WouldBlock",
    "WrongThread",
    "__version__",
]


def __getattr__(name: str) -> object:
    # `telex.blocking.Hub` is there when it is asked for, and costs nothing when it is not.
    if name == "blocking":
        from importlib import import_module

        return import_module("telex.blocking")
    raise AttributeError(f"module 'telex' has no attribute {name!r}")
