"""What the engine needs of the world, as promises. Adapters keep them; contract tests hold them to it.

Read in this order:

    broker       the queue: which message goes next, and when
    explanation  why a message still waits
    ledger       the lasting record, from which the queue can be rebuilt
    handles      provisional numbers of messages that wait
    transport    one call to Telegram
    watcher      what becomes of messages, for a view
    results      how an answer reaches the caller that waits for it
    epochs       where leases come from, as all processes have agreed
    membership   which processes are alive
    changes      what one process changed that others keep in memory
    call_uses    what of long windows of services is used
    stored_services  what was changed of services while they ran
    task_store   what is known of tasks
    alert_store  what is known of alerts
    beat_store   which loops of which processes run
    broadcast_store  broadcasts and their recipients
    audience     the chats of a bot, asked in sets
    watch_store  what is watched, by whom, and what is still to be said of it
    totals       sums over all processes
"""

from tempogram.engine.model.clock import Clock, SystemClock
from tempogram.engine.ports.broker import (
    Admission,
    Broker,
    Duplicate,
    FailingChange,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Replaced,
    Settled,
    Verdict,
)
from tempogram.engine.ports.epochs import NO_SCHEMA, Epoch, Epochs, Leadership, LeaseSource
from tempogram.engine.ports.explanation import Explanation, WaitsAt
from tempogram.engine.ports.handles import Handles, References, Referral, Target
from tempogram.engine.ports.ledger import Accepted, Alias, Fault, Known, Ledger, OpenCounts, Record
from tempogram.engine.ports.membership import Membership
from tempogram.engine.ports.results import Progress, Result, Results
from tempogram.engine.ports.transport import MayWrite, Transport

__all__ = [
    "NO_SCHEMA",
    "Accepted",
    "Admission",
    "Alias",
    "Broker",
    "Clock",
    "Duplicate",
    "Epoch",
    "Epochs",
    "Explanation",
    "FailingChange",
    "Fault",
    "Handles",
    "Known",
    "Leadership",
    "LeaseSource",
    "Leased",
    "Ledger",
    "MayWrite",
    "Membership",
    "OpenCounts",
    "Progress",
    "QueueStats",
    "Queued",
    "Record",
    "References",
    "Referral",
    "Refused",
    "Replaced",
    "Result",
    "Results",
    "Settled",
    "SystemClock",
    "Target",
    "Transport",
    "Verdict",
    "WaitsAt",
]
