"""What was changed of services while they ran, where all processes and the next start find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Words = Mapping[str, Any]
"""Of a table of ``services.toml``."""


@dataclass(frozen=True, slots=True)
class StoredService:
    """What is stored of one service.

    Attributes:
        version: Each change, reset and new declaration raises it.
        changes: In the words of ``services.toml``.
        declared: What stands for the declaration of the process that started last with another one.
    """

    version: int
    changes: Words
    declared: str


class StoredServices(Protocol):
    """Each method raises ``LedgerError`` if the database refuses."""

    async def declare(self, declared: Mapping[str, str]) -> None:
        """Raise the version of each service whose declaration is another than that of the last start."""

    async def all(self) -> Mapping[str, StoredService]:
        """Return what is stored, by name."""

    async def change(self, name: str, changes: Words, check: Callable[[Words], object]) -> StoredService:
        """Store changes besides those of before; what ``check`` raises of both together, if it does, stores nothing."""

    async def reset(self, name: str) -> StoredService:
        """Forget what was changed of a service."""
