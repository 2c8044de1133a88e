"""Sums over all processes, those that have ended included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Totals(Protocol):
    """Counters that all processes share, by name. Both verbs raise ``LedgerError`` when the database is away."""

    async def add(self, counts: Mapping[str, int]) -> None:
        """Add to counters; one that is not there begins at 0. If an answer was lost, it may have been added."""

    async def read(self) -> Mapping[str, int]:
        """Return every counter that was ever added to."""
