"""Which schedule leases are given from, as all processes have agreed in the database."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Source(StrEnum):
    """Where leases come from."""

    REDIS = "redis"
    KEEPER = "keeper"  # the memory of the one process that leads


@dataclass(frozen=True, slots=True)
class Epoch:
    """A span of time in which all leases come from one source.

    Attributes:
        number: Grows with each.
        source: Where leases come from.
        is_own: It was this process that began it: only then is the memory of ``KEEPER`` its own.
    """

    number: int
    source: Source
    is_own: bool = False


class Epochs(Protocol):
    """One row that every process reads and the leader writes. All raise ``LedgerError``."""

    async def current(self) -> Epoch:
        """Return the epoch that is; the first one is of Redis."""

    async def advance(self, after: Epoch, source: Source) -> Epoch:
        """Begin the next epoch; if it is not ``after`` any more, change nothing and return the one that is."""


class Leadership(Protocol):
    """At most one process has it at a time; it ends with the process, or with its connection."""

    async def leads(self) -> bool:
        """Tell whether this process leads, and take the lead if nobody has it. False while nobody can be asked.

        A lead that was lost is told as False once, though it could be taken again: another may have had it meanwhile.
        """

    async def resign(self) -> None:
        """Leave it to another."""
