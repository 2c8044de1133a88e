"""Cancels what waits with a tag, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.schemas.messages import TagCancelledOut
from tempogram.engine.closing.closer import End
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import Status
from tempogram.engine.ports import Fault

PAGE = 1_000
"""Messages that are read from the ledger at a time."""

ANSWER_WITHIN_MS = 10_000
"""After this time the client gets the count so far. Shorter than a client's time-out."""

CANCELLED = End(Status.CANCELLED, Fault(code=None, reason="everything with its tag was cancelled"))


async def cancel_tagged(dependencies: Dependencies, tag: str) -> TagCancelledOut:
    """End what waits with a tag as cancelled, for at most ``ANSWER_WITHIN_MS``; the same call again goes on.

    Each message is looked at once, and none that is submitted after the call began.

    Raises:
        LedgerError: Nothing was cancelled.
        BrokerUnavailable: Nothing was cancelled.
    """
    pages, ended = TaggedPages(dependencies, tag), 0

    def count(more: int) -> None:
        nonlocal ended
        ended += more

    try:
        withdrawn = await dependencies.closer.withdraw(pages.each(), CANCELLED, count=count)
    except (LedgerError, BrokerUnavailable):
        if not ended:
            raise
        return TagCancelledOut(cancelled=ended, left=0, is_complete=False)
    return TagCancelledOut(cancelled=withdrawn.ended, left=withdrawn.left, is_complete=pages.were_all)


class TaggedPages:
    """The ids of queued messages with a tag, until there are no more or the time is over.

    Attributes:
        were_all: There were no more.
    """

    def __init__(self, dependencies: Dependencies, tag: str) -> None:
        self._ledger = dependencies.ledger
        self._clock = dependencies.clock
        self._tag = tag
        self.were_all = False

    async def each(self) -> AsyncIterator[list[str]]:
        """Yield page after page.

        Raises:
            LedgerError: The next page cannot be read.
        """
        until_ms, last_id, after_id = self._clock() + ANSWER_WITHIN_MS, await self._ledger.last_id(), ""
        while self._clock() < until_ms:
            page = await self._ledger.open_ids(after_id=after_id, limit=PAGE, tag=self._tag)
            chosen = [message_id for message_id in page if message_id <= last_id]
            if chosen:
                yield chosen
                after_id = chosen[-1]
            if len(chosen) < PAGE:
                self.were_all = True
                return
