"""telex: message-driven and event-driven software, in one process or in those of one machine, with one API.

A topic is a log; a subscriber is a cursor. The map of the package, from the bottom up:

errors, names, durations     exceptions, topic names and patterns, lengths of time
codec, message               content as JSON and back; Message, Lost, Position
log                          the kernel: logs, cursors, buffers, overflow policies; no asyncio, no clock, no I/O
process                      tasks, their supervision, forks
engines                      the contract of an engine, and the engines: memory, sqlite, postgres
topics                       the asyncio shell over a log: topics, publishers, subscriptions, their registry
once                         commands that run once: the state machine, key leases, where records are kept
handlers, groups             decorated functions and the tasks that call them; consumer groups
commands, triggers           commands and their transports; timers, conditions, variables
schedules                    schedules that programs add at run time
router, hub                  declarations; the composition root
blocking, gateway, testing   the hub for programs without asyncio, the network's edge, the conformance suite
chat, cli                    the chat room, the program

docs/architecture.md follows one message, one command and one timer through these packages.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from telex.commands.context import CommandContext
from telex.commands.follower import Follower
from telex.commands.job import CommandInfo
from telex.commands.outcome import Outcome, Progress
from telex.commands.server import CommandStatistics
from telex.commands.stream import Stream
from telex.commands.ticket import Ticket
from telex.commands.transports.transport import Duplicate
from telex.commands.work import HubStatistics
from telex.durations import Duration
from telex.engines.contract.groups import DeadLetter, GroupInfo
from telex.errors import (
    BadHandler,
    BadName,
    BadOption,
    BufferFull,
    Closed,
    CommandError,
    CommandExpired,
    CommandFailed,
    ConnectFailed,
    ContentError,
    EngineFailed,
    InProgress,
    KeyConflict,
    Misuse,
    Nack,
    NoHandler,
    NoSuchCommand,
    PartsLost,
    Reject,
    SlowSubscriber,
    StreamRestarted,
    TelexError,
    Timeout,
    WouldBlock,
    WrongThread,
)
from telex.handlers.batches import BatchContext
from telex.handlers.context import Context, Retry
from telex.handlers.depends import Depends
from telex.handlers.statistics import HandlerStatistics
from telex.hub import Hub
from telex.limits.limit import Limit
from telex.log.options import Overflow
from telex.log.start import Start
from telex.message import Lost, Message, Position
from telex.names import Pattern
from telex.once.machine import Failure
from telex.process.worker import ProcessFailed
from telex.router import Router
from telex.schedules.plan import ScheduleInfo
from telex.schedules.schedules import Schedules
from telex.topics.connection import ConnectionChange
from telex.topics.subscription import ReportingSubscription, Subscription, SubscriptionStatistics
from telex.topics.topic import Topic, TopicStatistics
from telex.topics.transaction import Transaction
from telex.triggers.conditions.condition import Condition
from telex.triggers.conditions.firing import Firing
from telex.triggers.conditions.schedule import Misfire
from telex.triggers.conditions.stream import Rate
from telex.triggers.trigger import Trigger, TriggerStatistics
from telex.triggers.values import Change
from telex.triggers.variable import Variable

if _TYPE_CHECKING:
    from telex import blocking as blocking

__version__ = "0.1.0"

__all__ = [
    "BadHandler",
    "BadName",
    "BadOption",
    "BatchContext",
    "BufferFull",
    "Change",
    "Closed",
    "CommandContext",
    "CommandError",
    "CommandExpired",
    "CommandFailed",
    "CommandInfo",
    "CommandStatistics",
    "Condition",
    "ConnectFailed",
    "ConnectionChange",
    "ContentError",
    "Context",
    "DeadLetter",
    "Depends",
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
    "Limit",
    "Lost",
    "Message",
    "Misfire",
    "Misuse",
    "Nack",
    "NoHandler",
    "NoSuchCommand",
    "Outcome",
    "Overflow",
    "PartsLost",
    "Pattern",
    "Position",
    "ProcessFailed",
    "Progress",
    "Rate",
    "Reject",
    "ReportingSubscription",
    "Retry",
    "Router",
    "ScheduleInfo",
    "Schedules",
    "SlowSubscriber",
    "Start",
    "Stream",
    "StreamRestarted",
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
