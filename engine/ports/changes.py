"""What one process changed in the books that the others keep in memory."""

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
class Missed:
    """Some news may have been missed: read everything again."""


Change = BotChanged | ChatChanged | Missed
Listener = Callable[[Change], Awaitable[None]]


class Changes(Protocol):
    """A channel from each process to all others; whoever announces does not hear himself."""

    async def announce(self, item: Change) -> None:
        """Tell the others within 2 s. Never raises: who cannot be told now hears ``Missed`` later."""

    async def run(self, listener: Listener) -> None:
        """Tell the listener what the others announce from now on, item by item, until cancelled."""
