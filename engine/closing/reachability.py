"""Which chats take nothing more until they write again, and what becomes of the messages that wait for one.

Telegram counts tries to send to people who blocked a bot; so nobody tries twice. What one process finds out the
others read in the books, when they hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager

import structlog

from tempogram.engine.closing.closer import Closer, End
from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable, ChatUnreachable, LedgerError
from tempogram.engine.model.messages import ChatId, Outgoing, Status
from tempogram.engine.model.outcomes import Rejected
from tempogram.engine.ports import Clock, Fault, Ledger
from tempogram.engine.ports.changes import Changes, ChatChanged
from tempogram.engine.ports.ledger import BOT_CHATS_MAX

log = structlog.get_logger()

CHATS_MAX = 1_000_000
"""Unreachable chats that are remembered, about 200 B each. A guess."""

READ_AGAIN_MS = 3_000
"""So long after a chat was lost here it is read again in the books: by then another process that took something from
it just before has heard of it, or has written. A guess."""

READ_AGAIN_MAX = 10_000
"""Chats that are to be read again; more than are lost in so short a time. A guess."""

PAGE = 500
"""Messages of one chat that are read from the ledger at a time."""

BotChat = tuple[int, ChatId]
"""A bot's id and a chat's."""


class Reachability:
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
        closer: Closer,
        changes: Changes,
        clock: Clock,
        hears: Callable[[int], bool],
        chats_max: int = CHATS_MAX,
    ) -> None:
        self._ledger = ledger
        self._closer = closer
        self._changes = changes
        self._hears = hears
        self._chats_max = chats_max
        self._clock = clock
        self._reasons: dict[BotChat, str] = {}
        self._names: dict[BotChat, ChatId] = {}
        self._touched: set[BotChat] | None = None  # while the books are read: what changes here meanwhile
        self._lost_at_ms: dict[BotChat, int] = {}  # those that are to be read again, the first one first
        self._telling: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Read what the books know."""
        with self._reading() as touched:
            names = await self._ledger.aliases()
            lost = await self._ledger.unreachable_chats(limit=self._chats_max)
            self._names = {(bot_id, alias): chat_id for bot_id, alias, chat_id in names}
            self._reasons = {(bot_id, chat_id): reason for bot_id, chat_id, reason in lost}
        await self.reload(touched)

    async def reload(self, bot_chats: Collection[BotChat]) -> None:
        """Read again what the books know of some chats, which another process changed.

        What waits for them is given up, or not, by whoever found it out. One reader at a time.

        Raises:
            LedgerError: Some were not read; all may be read again.
        """
        left = set(bot_chats)
        while left:
            with self._reading() as touched:
                for page in batches(list(left), BOT_CHATS_MAX):
                    known = await self._ledger.reach_of(page)
                    for bot_chat in page:
                        self._take(bot_chat, *known.get(bot_chat, (None, None)))
            left = touched

    def refusal(self, message: Outgoing) -> ChatUnreachable | None:
        """Return why a message cannot be sent, in Telegram's words; None if it may be tried."""
        if message.chat_id is None or not self._reasons:
            return None
        reason = self._reasons.get(self._key(message.bot_id, message.chat_id))
        if reason is None or not self._hears(message.bot_id):
            return None
        return ChatUnreachable(message.bot_id, message.chat_id, reason)

    async def refusal_in_ledger(self, message: Outgoing) -> ChatUnreachable | None:
        """Return the same of a message whose turn has come, and of which the books say so too.

        Somebody may have written to another process just now, which answers: we send that answer, and have not
        heard yet.
        """
        refusal = self.refusal(message)
        if refusal is None or message.chat_id is None:
            return None
        bot_chat = self._key(message.bot_id, message.chat_id)
        try:
            _, reason = (await self._ledger.reach_of([bot_chat])).get(bot_chat, (None, None))
        except LedgerError:
            return refusal
        return None if reason is None else refusal

    def is_lost(self, bot_id: int, chat_id: ChatId) -> bool:
        return self._key(bot_id, chat_id) in self._reasons

    async def lose(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        """Refuse what comes for a chat from now on, and give up what waits for it. The books know it already."""
        key, lost_at_ms = self._key(bot_id, chat_id), self._clock()
        self._refuse(key, reason)
        self._note_lost(key, lost_at_ms)
        self._tell((bot_id, chat_id), key)
        await self._give_up(*key, reason, lost_at_ms)

    def due_for_reload(self) -> list[BotChat]:
        """Return, once, the chats that were lost here a short while ago.

        Somebody may have written to another process that had not heard yet that his chat was lost: to it nothing
        changed, so that it announced nothing, and only the books know that he is back.
        """
        until_ms = self._clock() - READ_AGAIN_MS
        bot_chats = [bot_chat for bot_chat, lost_at_ms in self._lost_at_ms.items() if lost_at_ms <= until_ms]
        for bot_chat in bot_chats:
            del self._lost_at_ms[bot_chat]
        return bot_chats

    def regain(self, bot_id: int, chat_id: ChatId) -> None:
        """Let a chat be sent to again. The books know it already."""
        key = self._key(bot_id, chat_id)
        self._reasons.pop(key, None)
        self._tell((bot_id, chat_id), key)

    def rename(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        """Let the first id be another name of the second, and be sent to: Telegram has just answered for it.

        The books know it already.
        """
        old = self._key(bot_id, from_chat_id)
        self._reasons.pop(old, None)
        self._point(old, to_chat_id)
        self._tell((bot_id, from_chat_id), old, (bot_id, to_chat_id))

    def _take(self, bot_chat: BotChat, name: ChatId | None, reason: str | None) -> None:
        """Let a chat be what the books say."""
        if name is not None:
            self._reasons.pop(bot_chat, None)
            self._point(bot_chat, name)
            return
        self._names.pop(bot_chat, None)
        if reason is None:
            self._reasons.pop(bot_chat, None)
        else:
            self._refuse(bot_chat, reason)

    def _refuse(self, bot_chat: BotChat, reason: str) -> None:
        self._reasons[bot_chat] = reason
        if len(self._reasons) > self._chats_max:
            del self._reasons[next(iter(self._reasons))]

    def _note_lost(self, bot_chat: BotChat, lost_at_ms: int) -> None:
        self._lost_at_ms[bot_chat] = lost_at_ms
        if len(self._lost_at_ms) > READ_AGAIN_MAX:
            del self._lost_at_ms[next(iter(self._lost_at_ms))]

    def _point(self, bot_chat: BotChat, name: ChatId) -> None:
        """Let a chat be known by another id, which itself is known by no other: so names never go in a circle."""
        bot_id, chat_id = bot_chat
        self._names.pop((bot_id, name), None)
        if chat_id != name:
            self._names[bot_chat] = name

    @contextmanager
    def _reading(self) -> Iterator[set[BotChat]]:
        """Note what changes here while the books are read: what was read of it may be of the time before."""
        touched = self._touched = set[BotChat]()
        try:
            yield touched
        finally:
            self._touched = None

    def _tell(self, *bot_chats: BotChat) -> None:
        """Let the other processes know, behind the caller's back."""
        if self._touched is not None:
            self._touched.update(bot_chats)
        task = asyncio.create_task(self._announce(set(bot_chats)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _announce(self, bot_chats: Collection[BotChat]) -> None:
        for bot_chat in bot_chats:
            await self._changes.announce(ChatChanged(*bot_chat))

    def _key(self, bot_id: int, chat_id: ChatId) -> BotChat:
        while (bot_id, chat_id) in self._names:
            chat_id = self._names[bot_id, chat_id]
        return bot_id, chat_id

    async def _give_up(self, bot_id: int, chat_id: ChatId, reason: str, lost_at_ms: int) -> None:
        """End what waits for a chat. What a crash leaves, or a broker that is away, is refused when its turn comes.

        What was submitted later is left: perhaps somebody has written meanwhile, and it is the answer.
        """
        end = End(Status.DEAD, Fault(code=403, reason=reason), Rejected(403, reason, unreachable=True))
        ended = None
        try:
            ended = (await self._closer.withdraw(self._pages(bot_id, chat_id, lost_at_ms), end)).ended
        except (BrokerUnavailable, LedgerError) as error:
            log.warning("not given up yet", bot_id=bot_id, chat_id=chat_id, error=str(error))
        log.info("chat is unreachable", bot_id=bot_id, chat_id=chat_id, reason=reason, given_up=ended)

    async def _pages(self, bot_id: int, chat_id: ChatId, until_ms: int) -> AsyncIterator[list[Outgoing]]:
        after_id = ""
        while page := await self._ledger.open_of_chat(bot_id, chat_id, after_id=after_id, limit=PAGE):
            after_id = page[-1].id
            yield [message for message in page if message.submitted_at_ms <= until_ms]
