"""Gives the chats that a campaign writes to, each once on a local date, whatever process dies at whatever moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from tempogram.engine.model.batching import batches
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
    """

    def __init__(self, audience: Audience, selection: Selection, rules: Rules, *, clock: Clock) -> None:
        self._audience = audience
        self._selection = selection
        self._rules = rules
        self._clock = clock

    async def claims(self) -> AsyncIterator[Claim]:
        """Give the chats to write to now.

        Raises:
            LedgerError: The database refused. What was given stays claimed.
        """
        async for claim in self._left_over():
            yield claim
        async for claim in self._selected():
            yield claim

    async def note(self, claim: Claim, message_id: str) -> None:
        """Store that the message of a claim was submitted; '' if it was refused for good.

        Raises:
            LedgerError: It was not stored, as far as is known; the claim may be given again.
        """
        await self._audience.note_submitted([replace(claim, message_id=message_id)], now_ms=self._clock())

    async def _left_over(self) -> AsyncIterator[Claim]:
        campaign, bot_id, after = self._rules.campaign, self._selection.bot_id, ""
        while page := await self._audience.unsubmitted(campaign, bot_id=bot_id, now_ms=self._clock(), after=after):
            after = str(page[-1].recipient.chat_id)
            for claim in page:
                yield claim

    async def _selected(self) -> AsyncIterator[Claim]:
        after = ""
        while page := await self._audience.page(self._selection, self._rules, now_ms=self._clock(), after=after):
            after = str(page[-1].chat_id)
            for portion in batches(page, PORTION):
                for claim in await self._audience.claim(
                    portion, self._rules, bot_id=self._selection.bot_id, now_ms=self._clock()
                ):
                    yield claim
