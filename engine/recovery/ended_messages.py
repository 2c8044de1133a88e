"""Messages that this process has ended and the queue may still hold, noted until they are taken out of it.

The queue was away when they were to be settled, or was rebuilt from the ledger while they were under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from tempogram.engine.model.batching import batches
from tempogram.engine.ports import Ledger
from tempogram.engine.ports.broker import BATCH_MAX

ENDED_MAX = 10_000
"""Ids that are noted; more than were ever under way in one process."""


class EndedMessages:
    """Ids of messages, in the order in which they ended."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ids: dict[str, None] = {}

    def note(self, message_ids: Iterable[str]) -> None:
        """Remember messages that have ended; the oldest are dropped beyond ``ENDED_MAX``."""
        self._ids.update(dict.fromkeys(message_ids))
        while len(self._ids) > ENDED_MAX:
            del self._ids[next(iter(self._ids))]

    def forget(self, message_ids: Iterable[str]) -> None:
        """Drop messages that the queue does not hold any more."""
        if self._ids:
            for message_id in message_ids:
                self._ids.pop(message_id, None)

    async def take_out(self, cancel: Callable[[Sequence[str]], Awaitable[object]]) -> None:
        """Have the queue cancel all of them; what was replayed since stays there.

        Raises:
            BrokerUnavailable: Some may still be there, and stay noted.
            LedgerError: The same.
        """
        for batch in batches(list(self._ids), BATCH_MAX):
            replayed = {message.id for message in await self._ledger.open_among(batch)}
            if ended := [message_id for message_id in batch if message_id not in replayed]:
                await cancel(ended)
            self.forget(batch)
