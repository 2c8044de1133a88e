"""How an answer reaches the caller that waits for it."""

from __future__ import annotations

import asyncio
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


class Results(Protocol):
    """A channel from the process that sends to the caller that waits, in this process or another."""

    def expect(self, message_id: str) -> asyncio.Future[Result]:
        """Return what ``publish`` will fill. Ask before the message is submitted, or it may be missed."""

    def forget(self, message_id: str, future: asyncio.Future[Result]) -> None:
        """Drop a future that its caller waits for no more."""

    async def publish(self, result: Result) -> None:
        """Give the result to each caller that waits. Costs nothing when none does."""
