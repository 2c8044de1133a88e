"""What the engine needs of the world, as promises. Adapters keep them; tests hold them to it.

broker      the schedule: who may send what, and when
ledger      the lasting record, from which the schedule can be rebuilt
transport   one call to Telegram
results     how an answer finds the caller who waits for it
clock       what time it is
epochs      where leases come from, as all processes agreed
members     which processes live
news        what one process changed that others keep in memory
"""

from tempogram.engine.model.clock import Clock, SystemClock
from tempogram.engine.ports.broker import (
    Admission,
    Broker,
    Duplicate,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Replaced,
    Settled,
    Verdict,
)
from tempogram.engine.ports.epochs import NO_SCHEMA, Epoch, Epochs, Leadership, Source
from tempogram.engine.ports.explanation import Explanation, WaitsAt
from tempogram.engine.ports.ledger import Accepted, Fault, Known, Ledger, Record
from tempogram.engine.ports.membership import Membership
from tempogram.engine.ports.results import Result, Results
from tempogram.engine.ports.transport import MayWrite, Transport

__all__ = [
    "NO_SCHEMA",
    "Accepted",
    "Admission",
    "Broker",
    "Clock",
    "Duplicate",
    "Epoch",
    "Epochs",
    "Explanation",
    "Fault",
    "Known",
    "Leadership",
    "Leased",
    "Ledger",
    "MayWrite",
    "Membership",
    "QueueStats",
    "Queued",
    "Record",
    "Refused",
    "Replaced",
    "Result",
    "Results",
    "Settled",
    "Source",
    "SystemClock",
    "Transport",
    "Verdict",
    "WaitsAt",
]
