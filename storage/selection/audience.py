"""Selections and claims over the tables of chats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tempogram.engine.model.selection import Preview, Reason, Recipient, Rules, Selection
from tempogram.engine.ports.audience import PAGE, Claim
from tempogram.storage.database.database import Database
from tempogram.storage.selection import claims as claim_rows
from tempogram.storage.selection.chosen import NOT_LEFT_OUT
from tempogram.storage.selection.claims import Claimed, Wish, claim_of
from tempogram.storage.selection.search import Search
from tempogram.storage.selection.windows import COUNTED, WINDOW

ROUNDS = 20
"""How often a claim is tried again because it crossed another campaign's, of which each round lets one through."""

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
        won: list[Recipient] = []
        wanted = list(recipients)
        for _ in range(ROUNDS):
            became = await self._claim_once([Wish(each, rules, bot_id, now_ms) for each in wanted])
            won += [each for each, what in zip(wanted, became, strict=True) if what is Claimed.WON]
            wanted = [each for each, what in zip(wanted, became, strict=True) if what is Claimed.CROSSED]
            if not wanted:
                break
        return [Claim(campaign=rules.campaign, bot_id=bot_id, recipient=each) for each in _by_id(won)]

    async def note_submitted(self, claims: Sequence[Claim], *, now_ms: int) -> None:  # noqa: ARG002 - of the port
        for start in range(0, len(claims), CLAIMS_MAX):
            await self._database.write(claim_rows.note_submitted, claims[start : start + CLAIMS_MAX])

    async def unsubmitted(
        self, campaign: str, *, bot_id: int, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[Claim]:
        query = claim_rows.unsubmitted(campaign, bot_id, now_ms, after, limit)
        async with self._database.reading() as connection:
            return [claim_of(row) for row in await connection.execute(query)]

    async def _claim_once(self, wishes: Sequence[Wish]) -> list[Claimed]:
        became: list[Claimed] = []
        for start in range(0, len(wishes), CLAIMS_MAX):
            became += await self._database.write(claim_rows.claim, wishes[start : start + CLAIMS_MAX])
        return became


def _by_id(recipients: Sequence[Recipient]) -> list[Recipient]:
    return sorted(recipients, key=lambda each: str(each.chat_id))
