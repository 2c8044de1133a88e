"""How an answer reaches the caller that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tempogram.engine.model.messages import Status
from tempogram.engine.model.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Result:
    """The final status of a message, and what Telegram answered last (None if it was never asked).

    Attributes:
        replaced_by: The id of a newer message that made it needless; that one has a result of its own.
    """

    message_id: str
    status: Status
    outcome: Outcome | None
    replaced_by: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """That a message has its places and its call has begun, ``age_ms`` ago; or that it waits for places again."""

    message_id: str
    is_calling: bool
    age_ms: int = 0


OnProgress = Callable[[Progress], None]


class Results(Protocol):
    """A channel from the process that sends to the caller that waits, in this process or another."""

    def expect(self, message_id: str, on_progress: OnProgress | None = None) -> asyncio.Future[Result]:
        """Return what ``publish`` will fill. Ask before the message is submitted, or it may be missed.

        ``on_progress`` is called when its call begins, and when it waits for places again, for a retry.
        """

    def forget(self, message_id: str, future: asyncio.Future[Result]) -> None:
        """Drop a future that its caller waits for no more."""

    async def publish(self, result: Result) -> None:
        """Give the result to each caller that waits. Costs nothing when none does."""

    def call_begins(self, message_id: str) -> None:
        """Tell each caller that waits that the message has its places. Costs nothing when none does."""

    def waits_again(self, message_id: str) -> None:
        """Tell them that it has to wait for places once more."""
