"""The contract of an engine: the protocols that an engine implements, and its calls to the hub."""

from telex.engines.contract.engine import Decoder, Engine, EngineEvents
from telex.engines.contract.groups import DeadLetter, Delivery, Fetched, GroupInfo, Groups, Settlement
from telex.engines.contract.guarantees import Guarantees
from telex.engines.contract.outbox import TransactionOutbox
from telex.engines.contract.records import Record, Records
from telex.engines.contract.sql import SqlTransaction
from telex.engines.contract.store import EngineTransaction, Extent, FoundStart, Store

__all__ = [
    "DeadLetter",
    "Decoder",
    "Delivery",
    "Engine",
    "EngineEvents",
    "EngineTransaction",
    "Extent",
    "Fetched",
    "FoundStart",
    "GroupInfo",
    "Groups",
    "Guarantees",
    "Record",
    "Records",
    "Settlement",
    "SqlTransaction",
    "Store",
    "TransactionOutbox",
]
