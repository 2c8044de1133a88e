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

    1.  First come the claims of a process that died before it had submitted their messages, then what is selected
        now, portion by portion: memory does not grow with the number of chats.
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
        async for claimed in self._selected():
            yield claimed

    async def note(self, claim: Claim, message_id: str) -> None:
        """Store that the message of a claim was submitted; '' if it was refused for good.

        Raises:
            LedgerError: It was not stored, as far as is known; the claim may be given again.
        """
        await self._audience.note_submitted([replace(claim, message_id=message_id)], now_ms=self._clock())

    async def _left_over(self) -> AsyncIterator[list[Claim]]:
        campaign, bot_id, after = self._rules.campaign, self._selection.bot_id, ""
        while page := await self._audience.unsubmitted(
            campaign, bot_id=bot_id, now_ms=self._clock(), after=after, limit=self._portion
        ):
            after = str(page[-1].recipient.chat_id)
            yield page

    async def _selected(self) -> AsyncIterator[list[Claim]]:
        bot_id, after = self._selection.bot_id, ""
        while page := await self._audience.page(
            self._selection, self._rules, now_ms=self._clock(), after=after, limit=self._portion
        ):
            after = str(page[-1].chat_id)
            if claimed := await self._audience.claim(page, self._rules, bot_id=bot_id, now_ms=self._clock()):
                yield claimed
