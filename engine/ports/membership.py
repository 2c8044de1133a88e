"""Which processes live, of those that share the books."""

from __future__ import annotations

from typing import Protocol


class Membership(Protocol):
    """Whoever dies, or is cut off from the books, is none of them within moments."""

    async def alive(self) -> frozenset[int]:
        """Return the numbers of those that live; nobody's, where no other process can have the books.

        Raises:
            LedgerError: Nobody can be asked.
        """
