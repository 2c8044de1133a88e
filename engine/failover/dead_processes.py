"""Notices that a process has ended, and with it whatever it alone knew: of messages that only the ledger has."""

from __future__ import annotations

from tempogram.engine.ports import Clock, Membership

LOOK_EVERY_MS = 2_000
"""Between two looks who lives. A guess; it costs one short query."""


class DeadProcesses:
    """As seen by one process: it knows who was alive when it looked last."""

    def __init__(self, members: Membership, clock: Clock) -> None:
        self._members = members
        self._clock = clock
        self._alive: frozenset[int] = frozenset()
        self._looked_at_ms: int | None = None

    async def look(self) -> int | None:
        """Return since when some process may have been dead that was alive before; None if all live, or it is too soon.

        Raises:
            LedgerError: Nobody can be asked; who has died meanwhile is found at the next look.
        """
        now_ms, before_ms = self._clock(), self._looked_at_ms
        if before_ms is not None and now_ms - before_ms < LOOK_EVERY_MS:
            return None
        alive = await self._members.alive()
        died, self._alive, self._looked_at_ms = self._alive - alive, alive, now_ms
        return before_ms if died else None
