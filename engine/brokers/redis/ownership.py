"""To which ledger the queue in Redis belongs: its id stands there, and a process of another ledger is refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tempogram.engine.brokers.redis.keys import SCHEMA, ledger


@dataclass(frozen=True, slots=True)
class Ownership:
    """The claim of a process for its ledger; every verb is refused if Redis holds the queue of another one.

    Attributes:
        ledger_id: Letters and digits; made once for each database.
        is_refused: Set when Redis has refused a verb of this process.
    """

    ledger_id: str
    is_refused: asyncio.Event = field(default_factory=asyncio.Event, compare=False)


def reason(schema: int = SCHEMA) -> str:
    """Return why a process of another ledger is refused, and the way out."""
    return (
        "REDIS_URL leads to a Redis whose queue belongs to another database, and two that share it would send each "
        "other's messages; set REDIS_URL to another Redis, or to a database number that is free, such as "
        "redis://localhost:6379/1 (or, if that other database is gone for good, delete the key "
        f"{ledger(schema)} in this Redis)"
    )
