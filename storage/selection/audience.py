"""Selections and claims over the tables of chats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tempogram.engine.model.selection import Preview, Reason, Recipient, Rules, Selection
from tempogram.engine.ports.audience import PAGE, Claim, LeftOver
from tempogram.storage.database.database import Database
from tempogram.storage.selection import claims as claim_rows
from tempogram.storage.selection.chosen import NOT_LEFT_OUT
from tempogram.storage.selection.claims import Claimed, Wish, left_over
from tempogram.storage.selection.search import Search
from tempogram.storage.selection.windows import COUNTED, WINDOW

ROUNDS = 20
"""How often a claim is tried again because it crossed another campaign's, of which each round lets one through."""

POSTPONED = ""
"""The message of a claim that another date has instead."""

CLAIMS_MAX = 500
"""Written in one transaction."""


class SqlAudience:
    """See ``engine.ports.audience.Audience``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(self, selection: Selection, rules: Rules, *, now_ms: int) -> Preview:
        search = await Search.begin(self._database, selection, rules, now_ms=now_ms)
        selected = held = 0
        left_out = Counter[Reason]()
        async for piece in search.windows(size=COUNTED):
            for count in await search.counts(piece):
                if count.reason == NOT_LEFT_OUT:
                    selected += count.chats
                    held += count.chats if count.is_held else 0
                else:
                    left_out[Reason(count.reason)] += count.chats
        return Preview(selected=selected, held=held, left_out=dict(left_out))

    async def page(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[Recipient]:
        search = await Search.begin(self._database, selection, rules, now_ms=now_ms)
        found: list[Recipient] = []
        async for piece in search.windows(after, size=WINDOW):
            found += await search.recipients(piece, limit=limit - len(found))
            if len(found) == limit:
                break
        return found

    async def claim(self, recipients: Sequence[Recipient], rules: Rules, *, bot_id: int, now_ms: int) -> list[Claim]:
        return await self._claim([Wish(each, rules, bot_id, now_ms) for each in recipients])

    async def note_submitted(self, claims: Sequence[Claim]) -> None:
        for start in range(0, len(claims), CLAIMS_MAX):
            await self._database.write(claim_rows.note_submitted, claims[start : start + CLAIMS_MAX])

    async def unsubmitted(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[LeftOver]:
        query = claim_rows.unsubmitted(
            self._database.dialect,
            selection.bot_id,
            rules.campaign,
            now_ms,
            after,
            limit,
            unless_wrote=selection.is_of_quiet_chats,
        )
        async with self._database.reading() as connection:
            return [left_over(row, rules, now_ms) for row in await connection.execute(query)]

    async def postpone(self, left_over: Sequence[LeftOver], rules: Rules, *, now_ms: int) -> list[Claim]:
        wishes = [
            Wish(each.recipient, rules, each.claim.bot_id, now_ms, first_key=each.claim.dedup_key) for each in left_over
        ]
        claimed = await self._claim(wishes)
        # A process that dies before this finds the new claims, and then nothing left to postpone.
        await self.note_submitted([replace(each.claim, message_id=POSTPONED) for each in left_over])
        return claimed

    async def _claim(self, wishes: Sequence[Wish]) -> list[Claim]:
        won: list[Wish] = []
        wanted = list(wishes)
        for _ in range(ROUNDS):
            became = await self._claim_once(wanted)
            won += [each for each, what in zip(wanted, became, strict=True) if what is Claimed.WON]
            wanted = [each for each, what in zip(wanted, became, strict=True) if what is Claimed.CROSSED]
            if not wanted:
                break
        return [each.claim for each in sorted(won, key=lambda wish: str(wish.recipient.chat_id))]

    async def _claim_once(self, wishes: Sequence[Wish]) -> list[Claimed]:
        became: list[Claimed] = []
        for start in range(0, len(wishes), CLAIMS_MAX):
            became += await self._database.write(claim_rows.claim, wishes[start : start + CLAIMS_MAX])
        return became
