"""Which chats take nothing more until they write again, and what becomes of the messages that wait for one.

Telegram counts attempts to send to users who blocked a bot, so no process tries twice. What one process finds out the
others read in the ledger, when its change reaches them.

"Chat" here means a conversation: what a bot says in a chat in the name of a business account is one of its own, under
a name of its own; see ``conversations``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager

import structlog

from tempogram.engine.closing.closer import Closer, End
from tempogram.engine.closing.erasures import Erasures
from tempogram.engine.model.batching import batches
from tempogram.engine.model.conversations import chat_of, conversation_of
from tempogram.engine.model.errors import BrokerUnavailable, ChatUnreachable, LedgerError
from tempogram.engine.model.messages import BotChat, ChatId, Outgoing, Status
from tempogram.engine.model.outcomes import Rejected
from tempogram.engine.ports import Clock, Fault, Ledger
from tempogram.engine.ports.changes import Changes, ChatChanged
from tempogram.engine.ports.ledger import BOT_CHATS_MAX

log = structlog.get_logger()

CHATS_MAX = 1_000_000
"""Unreachable chats that are remembered, about 200 B each. untuned: one that is forgotten costs one call."""

RELOAD_AFTER_MS = 3_000
"""A chat that became unreachable here is read again after this time: by then another process that got an update from
it just before has learned of it, or has written. untuned: a change takes milliseconds to reach the others."""

RELOADS_MAX = 10_000
"""Chats that wait to be read again. untuned: more than become unreachable in so short a time."""

OLD_IDS_USED_MS = 86_400_000
"""For how long a client may go on to use a group's old id, and the ids of its messages. untuned: only what names such a
message costs a query, and what is submitted later is judged by Telegram's answer."""

PAGE = 500
"""Messages of one chat that are read from the ledger at a time."""


ERASED = "the data of this chat was erased; it is written to again once it writes, or an admin allows it"


class Reachability:
    """Kept in memory, so that no message costs a query.

    Beyond ``chats_max`` the chat that has been unreachable for longest is forgotten. It is tried once more then, and
    Telegram answers the same again.

    Args:
        erasures: Chats whose data was erased: nothing is written to them. None: there are none.
        hears: Whether updates would show that a conversation of a bot takes messages again. Without them that stays
            unknown: what waits for a chat that refused is ended, and what is submitted later is tried.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        closer: Closer,
        changes: Changes,
        clock: Clock,
        hears: Callable[[int, ChatId], bool],
        erasures: Erasures | None = None,
        chats_max: int = CHATS_MAX,
    ) -> None:
        self._erasures = erasures
        self._erased: set[bytes] = set()
        self._ledger = ledger
        self._closer = closer
        self._changes = changes
        self._hears = hears
        self._chats_max = chats_max
        self._clock = clock
        self._reasons: dict[BotChat, str] = {}
        self._names: dict[BotChat, ChatId] = {}
        self._moved_ms: dict[BotChat, int] = {}  # groups that got their id from another, and when this was learned
        self._changed: set[BotChat] | None = None  # what changes here while the ledger is read
        self._to_reload: dict[BotChat, int] = {}  # chats to be read again, and since when they are unreachable
        self._announcing: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Read every chat that the ledger knows as unreachable, or by another name."""
        with self._reading() as changed:
            names = await self._ledger.aliases()
            unreachable = await self._ledger.unreachable_chats(limit=self._chats_max)
            self._erased = set() if self._erasures is None else await self._erasures.digests()
            self._names = {(each.bot_id, each.name): each.chat_id for each in names}
            self._moved_ms = {}
            for each in sorted(names, key=lambda each: each.since_ms):
                self._note_move((each.bot_id, each.name), each.chat_id, each.since_ms)
            self._reasons = {(bot_id, chat_id): reason for bot_id, chat_id, reason in unreachable}
        await self.reload(changed)

    async def reload(self, bot_chats: Collection[BotChat]) -> None:
        """Read again what the ledger knows of some chats, which another process changed.

        What waits for them is ended, or not, by the process that found it out. Called by one caller at a time.

        Raises:
            LedgerError: Some were not read; all may be read again.
        """
        left = set(bot_chats)
        while left:
            with self._reading() as changed:
                for page in batches(list(left), BOT_CHATS_MAX):
                    known = await self._ledger.reach_of(page)
                    erased = set() if self._erasures is None else await self._erasures.among(page)
                    for bot_chat in page:
                        self._update(bot_chat, *known.get(bot_chat, (None, None)))
                        self._update_erased(bot_chat, is_erased=bot_chat in erased)
            left = changed

    def refusal(self, message: Outgoing) -> ChatUnreachable | None:
        """Return why a message cannot be sent, in Telegram's words; None if it may be tried.

        An uncounted call may: a bot that was blocked may still delete what it sent.
        """
        if message.chat_id is None or not message.cost:
            return None
        if self._erased and self.is_erased(message.bot_id, message.chat_id):
            return ChatUnreachable(message.bot_id, message.chat_id, ERASED)
        if not self._reasons:
            return None
        reason = self._reasons.get(key := self._key_of(message))
        if reason is None or not self._hears(*key):
            return None
        return ChatUnreachable(message.bot_id, message.chat_id, reason)

    async def refusal_in_ledger(self, message: Outgoing) -> ChatUnreachable | None:
        """Return the same for a message whose turn has come, if the ledger says so too.

        The chat may have written to another process just now, which answers: this process sends that answer, and does
        not know yet.
        """
        refusal = self.refusal(message)
        if refusal is None:
            return None
        if refusal.reason == ERASED:
            return await self._erased_in_ledger(refusal)
        bot_chat = self._key_of(message)
        try:
            _, reason = (await self._ledger.reach_of([bot_chat])).get(bot_chat, (None, None))
        except LedgerError:
            return refusal
        return None if reason is None else refusal

    async def _erased_in_ledger(self, refusal: ChatUnreachable) -> ChatUnreachable | None:
        """Return the refusal, unless another process has read that the person wrote."""
        bot_id, chat_id = refusal.bot_id, refusal.chat_id
        assert self._erasures is not None, "nothing is refused as erased without them"  # noqa: S101
        names = {(bot_id, chat_id), (bot_id, chat_of(self._key(bot_id, chat_id)[1]))}
        try:
            return refusal if await self._erasures.among(names) else None
        except LedgerError:
            return refusal

    def may_have_moved(self, message: Outgoing) -> bool:
        """Tell whether it is worth asking ``has_moved`` of a message. Costs nothing where no group has moved."""
        if not self._moved_ms or message.chat_id is None:
            return False
        moved_ms = self._moved_ms.get((message.bot_id, message.chat_id))
        return moved_ms is not None and message.submitted_at_ms <= moved_ms + OLD_IDS_USED_MS

    async def has_moved(self, message: Outgoing) -> bool:
        """Tell whether a message was submitted to a group that has another id by now.

        Raises:
            LedgerError: It cannot be read.
        """
        return await self._ledger.has_moved(message)

    def is_erased(self, bot_id: int, chat_id: ChatId) -> bool:
        """Tell whether the data of a chat was erased, and it has not written since. Costs some 3 us."""
        if not self._erased or self._erasures is None:
            return False
        names = {chat_id, chat_of(self._key(bot_id, chat_id)[1])}
        return any(self._erasures.digest(bot_id, name) in self._erased for name in names)

    def note_erased(self, bot_id: int, chat_id: ChatId) -> None:
        """Refuse what is submitted to a chat from now on. The database has it already."""
        self._update_erased((bot_id, chat_id), is_erased=True)
        self._announce((bot_id, chat_id))

    def note_lifted(self, bot_id: int, chat_id: ChatId) -> None:
        """Let an erased chat be written to again. The database has it already."""
        self._update_erased((bot_id, chat_id), is_erased=False)
        self._announce((bot_id, chat_id))

    def is_unreachable(self, bot_id: int, chat_id: ChatId) -> bool:
        return self._key(bot_id, chat_id) in self._reasons

    async def mark_unreachable(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        """Refuse what is submitted to a chat from now on, and end what waits for it. The ledger has it already."""
        key, since_ms = self._key(bot_id, chat_id), self._clock()
        self._refuse(key, reason)
        self._note_reload(key, since_ms)
        self._announce((bot_id, chat_id), key)
        await self._end_waiting(*key, reason, since_ms)

    def due_for_reload(self) -> list[BotChat]:
        """Return, once, the chats that became unreachable here a short while ago.

        A chat may have written to a process that did not know yet that it was unreachable: nothing changed there, so
        nothing was announced, and only the ledger knows that it can be reached again.
        """
        until_ms = self._clock() - RELOAD_AFTER_MS
        bot_chats = [bot_chat for bot_chat, since_ms in self._to_reload.items() if since_ms <= until_ms]
        for bot_chat in bot_chats:
            del self._to_reload[bot_chat]
        return bot_chats

    def mark_reachable(self, bot_id: int, chat_id: ChatId) -> None:
        """Let a chat be sent to again. The ledger has it already."""
        key = self._key(bot_id, chat_id)
        self._reasons.pop(key, None)
        self._announce((bot_id, chat_id), key)

    def rename(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        """Make the first id another name of the second, and reachable: Telegram has just answered for it.

        The ledger has it already.
        """
        old = self._key(bot_id, from_chat_id)
        self._reasons.pop(old, None)
        self._rename(old, to_chat_id)
        self._announce((bot_id, from_chat_id), old, (bot_id, to_chat_id))

    def _update(self, bot_chat: BotChat, name: ChatId | None, reason: str | None) -> None:
        """Make a chat what the ledger says."""
        if name is not None:
            self._reasons.pop(bot_chat, None)
            self._rename(bot_chat, name)
            return
        self._names.pop(bot_chat, None)
        if reason is None:
            self._reasons.pop(bot_chat, None)
        else:
            self._refuse(bot_chat, reason)

    def _update_erased(self, bot_chat: BotChat, *, is_erased: bool) -> None:
        if self._erasures is None or (digest := self._erasures.digest(*bot_chat)) is None:
            return
        if is_erased:
            self._erased.add(digest)
        else:
            self._erased.discard(digest)

    def _refuse(self, bot_chat: BotChat, reason: str) -> None:
        self._reasons[bot_chat] = reason
        if len(self._reasons) > self._chats_max:
            del self._reasons[next(iter(self._reasons))]

    def _note_reload(self, bot_chat: BotChat, since_ms: int) -> None:
        self._to_reload[bot_chat] = since_ms
        if len(self._to_reload) > RELOADS_MAX:
            del self._to_reload[next(iter(self._to_reload))]

    def _rename(self, bot_chat: BotChat, name: ChatId) -> None:
        """Make another id the chat's, one that is no other name itself: so names never go in a circle."""
        bot_id, chat_id = bot_chat
        self._names.pop((bot_id, name), None)
        if chat_id != name and self._names.get(bot_chat) != name:
            self._names[bot_chat] = name
            self._note_move(bot_chat, name, self._clock())

    def _note_move(self, bot_chat: BotChat, chat_id: ChatId, at_ms: int) -> None:
        """Remember when a group got its id, and forget those whose old ids are used no more."""
        bot_id, old_id = bot_chat
        if isinstance(old_id, int) and isinstance(chat_id, int):
            self._moved_ms.pop((bot_id, chat_id), None)  # so that the oldest stay first
            self._moved_ms[bot_id, chat_id] = at_ms
        used_since_ms = self._clock() - OLD_IDS_USED_MS
        while self._moved_ms and next(iter(self._moved_ms.values())) < used_since_ms:
            del self._moved_ms[next(iter(self._moved_ms))]

    @contextmanager
    def _reading(self) -> Iterator[set[BotChat]]:
        """Note what changes here while the ledger is read: what was read of it may be older than the change."""
        changed = self._changed = set[BotChat]()
        try:
            yield changed
        finally:
            self._changed = None

    def _announce(self, *bot_chats: BotChat) -> None:
        """Let the other processes know, in the background."""
        if self._changed is not None:
            self._changed.update(bot_chats)
        task = asyncio.create_task(self._announce_all(set(bot_chats)))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _announce_all(self, bot_chats: Collection[BotChat]) -> None:
        for bot_chat in bot_chats:
            await self._changes.announce(ChatChanged(*bot_chat))

    def _key_of(self, message: Outgoing) -> BotChat:
        name = conversation_of(message)
        assert name is not None, "only a message to a chat can be refused"  # noqa: S101
        return self._key(message.bot_id, name)

    def _key(self, bot_id: int, chat_id: ChatId) -> BotChat:
        while (bot_id, chat_id) in self._names:
            chat_id = self._names[bot_id, chat_id]
        return bot_id, chat_id

    async def _end_waiting(self, bot_id: int, chat_id: ChatId, reason: str, since_ms: int) -> None:
        """End what waits for a chat. What a crash leaves, or a broker that is away, is refused when its turn comes.

        What was submitted later is left: the chat may have written meanwhile, and this is the answer.
        """
        end = End(Status.DEAD, Fault(code=403, reason=reason), Rejected(403, reason, unreachable=True))
        ended = None
        try:
            ended = (await self._closer.withdraw(self._pages(bot_id, chat_id, since_ms), end)).ended
        except (BrokerUnavailable, LedgerError) as error:
            log.warning("chat_messages_not_ended", bot_id=bot_id, chat_id=chat_id, error=str(error))
        log.info("chat_unreachable", bot_id=bot_id, chat_id=chat_id, reason=reason, ended=ended)

    async def _pages(self, bot_id: int, chat_id: ChatId, until_ms: int) -> AsyncIterator[list[str]]:
        after_id = ""
        while page := await self._ledger.open_of_chat(bot_id, chat_of(chat_id), after_id=after_id, limit=PAGE):
            after_id = page[-1].id
            meant = [message for message in page if message.cost and self._key_of(message) == (bot_id, chat_id)]
            yield [message.id for message in meant if message.submitted_at_ms <= until_ms]
