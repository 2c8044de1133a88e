"""Which queue leases are given from: what all processes have agreed on in the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class LeaseSource(StrEnum):
    """Where leases come from."""

    REDIS = "redis"
    LEADER = "keeper"  # the leader's own memory; the value is the one that databases of older versions hold


NO_SCHEMA = -1
"""The schema of the first epoch, in which nothing was ever leased."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A span of time in which all leases come from one source.

    Attributes:
        number: Grows by one with each epoch.
        source: Where leases come from.
        schema: Of the queue, as the process that began the epoch reads it. A process with another schema leases
            nothing.
        is_own: This process began the epoch. Only then is the queue of a ``LEADER`` epoch in its own memory.
        bypassed: Grows while a process with another schema is there: what that one submits goes into the ledger
            alone, and the leader must read it from there.
    """

    number: int
    source: LeaseSource
    schema: int
    is_own: bool = False
    bypassed: int = field(default=0, compare=False)


class Epochs(Protocol):
    """One row that every process reads and the leader writes. All methods raise ``LedgerError``."""

    async def current(self) -> Epoch:
        """Return the epoch that is; the first one is of Redis, with ``NO_SCHEMA``."""

    async def advance(self, after: Epoch, source: LeaseSource, *, schema: int) -> Epoch:
        """Begin the next epoch; if ``after`` is over already, change nothing and return the one that is."""

    @property
    def are_announced(self) -> bool:
        """Whether this process hears at once of each epoch that another begins."""

    async def next(self, *, within_s: float) -> None:
        """Return when another epoch is announced, or this process hears no more, or after a time."""

    async def bypass(self, epoch: Epoch) -> None:
        """Count that a process with another schema is there (``bypassed``); nothing happens if the epoch is over."""


class Leadership(Protocol):
    """At most one process leads at a time. The lead ends with the process, or with its connection."""

    async def leads(self, *, surely: bool = False) -> bool:
        """Tell whether this process leads; take the lead if it is free. False while the database is away.

        ``surely``: ask the database. Otherwise it may have been asked some seconds ago, if the connection still stands.

        A lead that was lost gives False once, even if it could be taken again: another process may have led meanwhile.
        """

    async def resign(self) -> None:
        """Leave the lead to another process."""
