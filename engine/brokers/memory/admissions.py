"""How messages enter the queue, and replace one another there: see ``lua/admit.lua``, step for step."""

from __future__ import annotations

from heapq import heappush

from msgspec import structs

from tempogram.engine.brokers.memory.lanes import BotState, Chat, Entry, entry_of
from tempogram.engine.brokers.memory.queue import Queue
from tempogram.engine.model.messages import PRIORITIES, Outgoing
from tempogram.engine.ports.broker import Duplicate, Queued, Refused, Replaced, Verdict

QUEUED = Queued()


class Admissions:
    """Queues messages, unless they are known, too many or out of date."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def admit(self, message: Outgoing, now_ms: int, *, capped: bool) -> Verdict:
        queue = self._queue
        if message.id in queue.entries:
            return Duplicate()
        bot = queue.bot(message.bot_id)
        chat = queue.chat(bot, bot.resolve(message.chat_id) if bot.aliases else message.chat_id)
        older = None if message.replaces is None else chat.replaced_by(message)
        if older is not None:
            return self._admit_instead(message, older, now_ms)
        if capped and (refused := self._refusal(bot, chat)):
            queue.forget_later(chat, now_ms)
            return refused
        self._add(message, chat, message.id, now_ms)
        return QUEUED

    def _admit_instead(self, message: Outgoing, older: Entry, now_ms: int) -> Verdict:
        """Let a message take the position of one that waits, unless that one is the newer of the two."""
        replaced, lane = older.message, older.lane
        if replaced.id > message.id:
            return Replaced(by=replaced.id)
        position = older.position
        if PRIORITIES.index(message.priority) < lane.line.index:
            position = message.id
        else:
            message = structs.replace(message, priority=lane.line.priority)
        if position == older.position and older.is_due and _is_due(message, now_ms):
            self._swap(older, message, now_ms)
        else:
            self._queue.remove(older, now_ms)
            self._add(message, lane.chat, position, now_ms)
        return Queued(instead_of=replaced)

    def _swap(self, entry: Entry, message: Outgoing, now_ms: int) -> None:
        """Put another message into a position: its lane goes on waiting, and keeps its turn."""
        queue = self._queue
        lane = entry.lane
        if entry.message.is_paid != message.is_paid:
            lane.key = None  # it stands among the others from now on
        queue.count_open(entry, -1)
        del queue.entries[entry.message.id]
        was_special = entry.is_special
        entry.become(_named(message, lane.chat))
        lane.line.bot.note_special(entry.is_special - was_special)
        entry.user = queue.user(lane.chat.bot, message)
        entry.attempt, entry.tried = message.attempt, message.attempt > 0
        queue.entries[message.id] = entry
        lane.stand_in(entry)
        queue.count_open(entry, 1)
        self._note_times(entry, now_ms)
        queue.offer_lane(lane, now_ms)
        queue.reoffer(lane.line.bot, now_ms)  # it may cost more or less

    def _add(self, message: Outgoing, chat: Chat, position: str, now_ms: int) -> None:
        queue = self._queue
        if chat.has_failed and not chat.is_busy:
            chat.has_failed = False
        message = _named(message, chat)
        entry = entry_of(message, chat.lane(message), position, queue.user(chat.bot, message))
        queue.entries[message.id] = entry
        queue.count_open(entry, 1)
        queue.count_waiting(entry, 1)
        chat.note_edit(entry)
        self._note_times(entry, now_ms)
        if _is_due(message, now_ms):
            queue.enter(entry, now_ms)
        else:
            queue.schedule(entry)

    def _note_times(self, entry: Entry, now_ms: int) -> None:
        message = entry.message
        if message.expires_at_ms is not None:
            heappush(self._queue.expiries, (message.expires_at_ms, message.id))
        if message.attempt and message.cost and message.ready_at_ms > now_ms:
            entry.lane.wait_until_ms = max(entry.lane.wait_until_ms, message.ready_at_ms)

    def _refusal(self, bot: BotState, chat: Chat) -> Refused | None:
        limits = self._queue.limits
        if chat.chat_id is not None and 0 < limits.chat_cap <= chat.waiting:
            return Refused(bot.bot_id, chat.chat_id, limits.chat_cap)
        if 0 < limits.bot_cap <= bot.waiting:
            return Refused(bot.bot_id, None, limits.bot_cap)
        return None


def _is_due(message: Outgoing, now_ms: int) -> bool:
    """Tell whether it stands in its lane: a message that was tried does, and its lane waits with it.

    An uncounted one waits by itself.
    """
    return message.ready_at_ms <= now_ms or (message.attempt > 0 and message.cost > 0)


def _named(message: Outgoing, chat: Chat) -> Outgoing:
    """Return it under the id by which Telegram knows its chat now."""
    return message if message.chat_id == chat.chat_id else structs.replace(message, chat_id=chat.chat_id)
