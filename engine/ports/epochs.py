"""Which schedule leases are given from, as all processes have agreed in the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Source(StrEnum):
    """Where leases come from."""

    REDIS = "redis"
    KEEPER = "keeper"  # the memory of the one process that leads


NO_SCHEMA = -1
"""The form of the first epoch: nobody has ever leased."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A span of time in which all leases come from one source.

    Attributes:
        number: Grows with each.
        source: Where leases come from.
        form: That of the schedule, as whoever began the epoch understands it. Who goes by another leases nothing.
        bypassed: Grows while some who go by another form may write to the ledger alone.
        is_own: It was this process that began it: only then is the memory of ``KEEPER`` its own.
    """

    number: int
    source: Source
    schema: int
    is_own: bool = False
    bypassed: int = field(default=0, compare=False)


class Epochs(Protocol):
    """One row that every process reads and the leader writes. All raise ``LedgerError``."""

    async def current(self) -> Epoch:
        """Return the epoch that is; the first one is of Redis, and of nobody's form."""

    async def advance(self, after: Epoch, source: Source, *, schema: int) -> Epoch:
        """Begin the next epoch; if it is not ``after`` any more, change nothing and return the one that is."""

    async def bypass(self, epoch: Epoch) -> None:
        """Let the leader know that a process of another form is there; nothing happens if the epoch is over."""


class Leadership(Protocol):
    """At most one process has it at a time; it ends with the process, or with its connection."""

    async def leads(self) -> bool:
        """Tell whether this process leads, and take the lead if nobody has it. False while nobody can be asked.

        A lead that was lost is told as False once, though it could be taken again: another may have had it meanwhile.
        """

    async def resign(self) -> None:
        """Leave it to another."""
