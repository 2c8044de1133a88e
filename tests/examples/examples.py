"""The ten examples, each with its conversation and the places where it makes sense."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tests.examples.talk import Talk

BOTH = ("private", "group")


@dataclass(frozen=True, slots=True)
class Example:
    """One example in one place: a private chat, or a group."""

    name: str
    place: str

    def __str__(self) -> str:
        """Return what stands in a test's name."""
        return f"{self.name}-{self.place}"

    @property
    def in_group(self) -> bool:
        return self.place == "group"

    @property
    def converse(self) -> Callable[[Talk], Awaitable[None]]:
        converse: Callable[[Talk], Awaitable[None]] = self._module.converse
        return converse

    @asynccontextmanager
    async def environment(self, directory: Path) -> AsyncIterator[dict[str, str]]:
        """Start what must run beside the example, and return the variables that it reads."""
        kept = {
            f"{self.name.upper()}_DB": str(directory / f"{self.name}.db"),
            **getattr(self._module, "ENVIRONMENT", {}),
        }
        surroundings = getattr(self._module, "surroundings", None)
        if surroundings is None:
            yield kept
            return
        async with surroundings() as more:
            yield kept | more

    @property
    def _module(self) -> ModuleType:
        return import_module(f"tests.examples.conversations.{self.name}")


PLACES = {
    "shop": BOTH,
    "moderation": ("group",),
    "reservation": BOTH,
    "languages": BOTH,
    "donations": BOTH,
    "inline": BOTH,
    "broadcast": BOTH,
    "chatbot": BOTH,
    "album": BOTH,
    "reminders": BOTH,
}
EXAMPLES = [Example(name, place) for name, places in PLACES.items() for place in places]
IN_GROUPS = [example for example in EXAMPLES if example.in_group]
ONCE = [Example(name, places[0]) for name, places in PLACES.items()]
"""Each example in the first of its places."""
