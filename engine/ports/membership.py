"""Which processes are alive, of those that share the database."""

from __future__ import annotations

from typing import Protocol


class Membership(Protocol):
    """A process that dies, or loses the database, is no member within moments."""

    async def alive(self) -> frozenset[int]:
        """Return the ids of live processes; empty for SQLite, which has a single process.

        Raises:
            LedgerError: The database cannot be read.
        """
