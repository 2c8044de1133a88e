"""Notices that a process has ended: the ledger may have messages that only that process knew of."""

from __future__ import annotations

from tempogram.engine.ports import Clock, Membership

CHECK_MS = 2_000
"""Between two checks which processes live. untuned: one short query."""


class DeadProcesses:
    """The processes that were alive at the last check."""

    def __init__(self, members: Membership, clock: Clock) -> None:
        self._members = members
        self._clock = clock
        self._alive: frozenset[int] = frozenset()
        self._checked_at_ms: int | None = None

    async def check(self) -> int | None:
        """Return since when a process may be dead that was alive before; None if all live, or it is too soon.

        Raises:
            LedgerError: The database is away; what has died meanwhile is found at the next check.
        """
        now_ms, before_ms = self._clock(), self._checked_at_ms
        if before_ms is not None and now_ms - before_ms < CHECK_MS:
            return None
        alive = await self._members.alive()
        died, self._alive, self._checked_at_ms = self._alive - alive, alive, now_ms
        return before_ms if died else None
