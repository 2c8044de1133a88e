"""Gives the chats that a campaign writes to, each once on a local date, whatever process dies at whatever moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.selection import Rules, Selection
from tempogram.engine.ports.audience import Audience, Claim

PORTION = 100
"""Chats that are claimed at once. untuned: one that opts out later than its claim is written to all the same, so it
must be few; and each portion is a commit."""


class Campaign:
    """Claims chats, then lets them be written to.

    1.  First come the claims whose messages were not submitted, as a process died or the queue was full, then what is
        selected now, portion by portion: memory does not grow with the number of chats.
    2.  For each, a message is submitted with ``Claim.dedup_key``, and then ``note`` is called. A process that dies
        in between leaves a claim that is given again; the key makes the second submission harmless.
    3.  Several processes may do so at the same time: each chat is claimed by one of them.

    Args:
        portion: Chats that are selected and claimed at once.
    """

    def __init__(
        self, audience: Audience, selection: Selection, rules: Rules, *, clock: Clock, portion: int = PORTION
    ) -> None:
        self._audience = audience
        self._selection = selection
        self._rules = rules
        self._clock = clock
        self._portion = portion

    async def claims(self) -> AsyncIterator[Claim]:
        """Give the chats to write to now; raises as ``portions``."""
        async for portion in self.portions():
            for claim in portion:
                yield claim

    async def portions(self) -> AsyncIterator[list[Claim]]:
        """Give the chats to write to now. Each portion is selected when it is asked for, however slow the writer is.

        Raises:
            LedgerError: The database refused. What was given stays claimed.
        """
        async for left_over in self._left_over():
            yield left_over
        async for claimed in self.selected(portion=self._portion):
            yield claimed

    async def selected(self, *, portion: int = PORTION) -> AsyncIterator[list[Claim]]:
        """Claim the chats that are selected now; what is not submitted of them comes first in the next run that day.

        Raises:
            LedgerError: The database refused. What was given stays claimed.
        """
        bot_id, after = self._selection.bot_id, ""
        while page := await self._audience.page(
            self._selection, self._rules, now_ms=self._clock(), after=after, limit=portion
        ):
            after = str(page[-1].chat_id)
            if claimed := await self._audience.claim(page, self._rules, bot_id=bot_id, now_ms=self._clock()):
                yield claimed

    async def note(self, claim: Claim, message_id: str) -> None:
        """Store that the message of a claim was submitted; '' if it was refused for good.

        Raises:
            LedgerError: It was not stored, as far as is known; the claim may be given again.
        """
        await self._audience.note_submitted([replace(claim, message_id=message_id)])

    async def _left_over(self) -> AsyncIterator[list[Claim]]:
        after = ""
        while page := await self._audience.unsubmitted(
            self._selection, self._rules, now_ms=self._clock(), after=after, limit=self._portion
        ):
            after = str(page[-1].claim.recipient.chat_id)
            postponed = [each for each in page if each.is_of_another_date]
            claims = [replace(each.claim, recipient=each.recipient) for each in page if not each.is_of_another_date]
            if postponed:
                claims += await self._audience.postpone(postponed, self._rules, now_ms=self._clock())
            yield claims
