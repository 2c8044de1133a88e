"""What of long windows is used, where a restart does not lose it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class CallUses(Protocol):
    """Uses of the limiters whose windows are long. Each method raises ``LedgerError`` if the database refuses."""

    async def add(self, uses: Sequence[tuple[str, int, int]]) -> None:
        """Have uses: limiter, milliseconds since the epoch, units."""

    async def since(self, limiter: str, at_ms: int) -> Sequence[tuple[int, int]]:
        """Return the uses of a limiter from a time on: milliseconds since the epoch, units."""
