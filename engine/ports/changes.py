"""What one process changed in the database that the others keep in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from tempogram.engine.model.messages import ChatId


@dataclass(frozen=True, slots=True)
class BotChanged:
    """A bot was added, changed or removed: read it again."""

    bot_id: int


@dataclass(frozen=True, slots=True)
class ChatChanged:
    """A chat can be reached again, or no more, or has another name: read it again."""

    bot_id: int
    chat_id: ChatId


@dataclass(frozen=True, slots=True)
class ServiceChanged:
    """What is allowed of a service was changed: read it again.

    Attributes:
        closed: Operations whose breakers were closed by hand just now.
    """

    name: str
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """A user or an API token was changed: look at each token again."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Some changes may have been missed: read everything again."""


Change = BotChanged | ChatChanged | ServiceChanged | AccessChanged | Missed
Listener = Callable[[Change], Awaitable[None]]


class Changes(Protocol):
    """A channel from each process to all others, not to itself."""

    async def announce(self, item: Change) -> None:
        """Notify the others within 2 s. Never raises: a process that cannot be notified now gets ``Missed`` later."""

    async def run(self, listener: Listener) -> None:
        """Notify the listener of what the others announce from now on, item by item, until cancelled."""
