"""A way to an operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tempogram.engine.ports.alert_store import Notice


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """It is on its way; ask again what became of it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver is there, and does not take this one; later ones need not wait for it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Away:
    """The receiver was not reached, or cannot take anything now.

    Attributes:
        retry_after_s: As it asked; 0: it did not.
    """

    reason: str
    retry_after_s: float = 0.0


Tried = Accepted | Pending | Refused | Away


class Channel(Protocol):
    """Takes notices. No reason that it gives contains a secret."""

    async def send(self, notice: Notice) -> Tried:
        """Try once. The same notice may come again: when it was not accepted, or its process ended meanwhile."""
