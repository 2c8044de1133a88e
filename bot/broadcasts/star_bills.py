"""What Telegram billed a bot for messages above the free rate.

Source: https://core.telegram.org/bots/api#getstartransactions
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Protocol

import aiohttp
import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError
from aiogram.methods import GetStarTransactions
from aiogram.types import StarTransaction, TransactionPartnerTelegramApi

from tempogram.engine.model.broadcasts import NANOSTARS

log = structlog.get_logger()

PAGE = 100
"""Transactions in one answer, at most."""

PAGES_MAX = 50
"""Read for one broadcast; of more than 5,000 transactions in its time the sum is not known."""

TIMEOUT_S = 10
"""For all pages together: a person waits."""


class BotsHere(Protocol):
    """The bots that run here."""

    def has(self, bot_id: int) -> bool:
        """Tell whether a bot is known here."""

    def bot(self, bot_id: int) -> Bot:
        """Return aiogram's ``Bot``, whose calls pass the engine."""


class StarBills:
    """Asks Telegram; each call goes the way of all others."""

    def __init__(self, bots: BotsHere) -> None:
        self._bots = bots

    async def billed(self, bot_id: int, since_ms: int, until_ms: int) -> int | None:
        """See ``engine.broadcasts.billing.Billed``. None if anything is missing: an answer, or a page.

        Cost: some 2 log n calls for a bot with n transactions, and one for each 100 of that time.
        """
        if not self._bots.has(bot_id):
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await _billed(self._bots.bot(bot_id), since_ms // 1_000, -(-until_ms // 1_000))
        except (AiogramError, aiohttp.ClientError, OSError) as error:
            log.warning("stars_not_known", bot_id=bot_id, reason=type(error).__name__)
            return None


async def _billed(bot: Bot, since_s: int, until_s: int) -> int | None:
    offset, nanostars = await _first_since(bot, since_s), 0
    for _ in range(PAGES_MAX):
        page = await _page(bot, offset, limit=PAGE)
        if any(later.date < earlier.date for earlier, later in pairwise(page)):
            return None  # not in the order in which it was searched
        nanostars += sum(_nanostars(each) for each in page if since_s <= _second(each.date) <= until_s)
        if len(page) < PAGE or _second(page[-1].date) > until_s:
            return nanostars
        offset += len(page)
    return None


async def _first_since(bot: Bot, since_s: int) -> int:
    """Return how many transactions are older than a time; they come in chronological order."""
    low, high = 0, 1
    while await _is_before(bot, high - 1, since_s):
        low, high = high, 2 * high
    while low < high - 1:
        middle = (low + high) // 2
        if await _is_before(bot, middle - 1, since_s):
            low = middle
        else:
            high = middle
    return low


async def _is_before(bot: Bot, number: int, since_s: int) -> bool:
    found = await _page(bot, number, limit=1)
    return bool(found) and _second(found[0].date) < since_s


async def _page(bot: Bot, offset: int, *, limit: int) -> Sequence[StarTransaction]:
    return (await bot(GetStarTransactions(offset=offset, limit=limit))).transactions


def _nanostars(of: StarTransaction) -> int:
    if not isinstance(of.receiver, TransactionPartnerTelegramApi):
        return 0
    return of.amount * NANOSTARS + (of.nanostar_amount or 0)


def _second(date: datetime) -> int:
    return int(date.timestamp())
