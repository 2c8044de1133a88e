"""Which chats take nothing more until they write again, and what becomes of the messages that wait for one.

Telegram counts tries to send to people who blocked a bot; so nobody tries twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from engine.errors import BrokerUnavailable, ChatUnreachable, LedgerError
from engine.insist import Sleep
from engine.messages import ChatId, Outgoing, Status
from engine.outcomes import Rejected
from engine.ports import Broker, Clock, Fault, Ledger, Results
from engine.withdrawal import End, Withdrawal

log = structlog.get_logger()

CHATS_MAX = 1_000_000
"""Unreachable chats that are remembered, about 200 B each. A guess."""

PAGE = 500
"""Messages of one chat that are read from the ledger at a time."""


class Reach:
    """Kept in memory, so that no message costs a look into the books.

    Beyond ``chats_max`` the chat that has been unreachable for longest is forgotten. It is tried
    once more then, and Telegram says the same again.

    Args:
        hears: Tells whether a bot's updates come here. Where they do not, nobody would know who came back:
            what waits for a chat that refused is given up, and what is submitted later is tried.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        broker: Broker,
        results: Results,
        clock: Clock,
        hears: Callable[[int], bool],
        chats_max: int = CHATS_MAX,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._hears = hears
        self._chats_max = chats_max
        self._withdrawal = Withdrawal(ledger=ledger, broker=broker, results=results, clock=clock, sleep=sleep)
        self._reasons: dict[tuple[int, ChatId], str] = {}
        self._names: dict[tuple[int, ChatId], ChatId] = {}

    async def load(self) -> None:
        """Read what the books know."""
        for bot_id, alias, chat_id in await self._ledger.aliases():
            self._names[bot_id, alias] = chat_id
        for bot_id, chat_id, reason in await self._ledger.unreachable_chats(limit=self._chats_max):
            self._reasons[bot_id, chat_id] = reason

    def refusal(self, message: Outgoing) -> ChatUnreachable | None:
        """Return why a message cannot be sent, in Telegram's words; None if it may be tried."""
        if message.chat_id is None or not self._reasons:
            return None
        reason = self._reasons.get(self._key(message.bot_id, message.chat_id))
        if reason is None or not self._hears(message.bot_id):
            return None
        return ChatUnreachable(message.bot_id, message.chat_id, reason)

    def is_lost(self, bot_id: int, chat_id: ChatId) -> bool:
        return self._key(bot_id, chat_id) in self._reasons

    async def lose(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        """Refuse what comes for a chat from now on, and give up what waits for it. The books know it already."""
        key = self._key(bot_id, chat_id)
        self._reasons[key] = reason
        if len(self._reasons) > self._chats_max:
            del self._reasons[next(iter(self._reasons))]
        await self._give_up(*key, reason)

    def regain(self, bot_id: int, chat_id: ChatId) -> None:
        """Let a chat be sent to again."""
        self._reasons.pop(self._key(bot_id, chat_id), None)

    def rename(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        """Let the first id be another name of the second, and be sent to: Telegram has just answered for it."""
        old = self._key(bot_id, from_chat_id)
        self._reasons.pop(old, None)
        self._names.pop((bot_id, to_chat_id), None)
        if old[1] != to_chat_id:
            self._names[old] = to_chat_id

    def _key(self, bot_id: int, chat_id: ChatId) -> tuple[int, ChatId]:
        while (bot_id, chat_id) in self._names:
            chat_id = self._names[bot_id, chat_id]
        return bot_id, chat_id

    async def _give_up(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        """End what waits for a chat. What a crash leaves, or a broker that is away, is refused when its turn comes."""
        end = End(Status.DEAD, Fault(code=403, reason=reason), Rejected(403, reason, unreachable=True))
        ended = None
        try:
            ended = (await self._withdrawal.withdraw(self._pages(bot_id, chat_id), end)).ended
        except (BrokerUnavailable, LedgerError) as error:
            log.warning("not given up yet", bot_id=bot_id, chat_id=chat_id, error=str(error))
        log.info("chat is unreachable", bot_id=bot_id, chat_id=chat_id, reason=reason, given_up=ended)

    async def _pages(self, bot_id: int, chat_id: ChatId) -> AsyncIterator[list[Outgoing]]:
        after_id = ""
        while page := await self._ledger.open_of_chat(bot_id, chat_id, after_id=after_id, limit=PAGE):
            after_id = page[-1].id
            yield page
