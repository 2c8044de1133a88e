"""A chat that has another id from now on: see ``lua/shared/migration.lua``, step for step."""

from __future__ import annotations

from msgspec import structs

from tempogram.engine.brokers.memory.lanes import NO_EDITS, BotState, Chat, Entry, Lane
from tempogram.engine.brokers.memory.leases import Leases
from tempogram.engine.brokers.memory.queue import Queue
from tempogram.engine.model.messages import ChatId


class Migration:
    """Lets two ids be one chat."""

    def __init__(self, queue: Queue, leases: Leases) -> None:
        self._queue = queue
        self._leases = leases

    def migrate(self, bot: BotState, from_chat_id: ChatId, to_chat_id: ChatId, now_ms: int) -> None:
        queue = self._queue
        old_id, new_id = bot.resolve(from_chat_id), bot.resolve(to_chat_id)
        if old_id is None or new_id is None or old_id == new_id:
            return
        bot.aliases[old_id] = new_id
        old = bot.chats.pop(old_id, None)
        if old is None:
            return
        new = queue.chat(bot, new_id)
        new.hold_until_ms = max(new.hold_until_ms, old.hold_until_ms)
        self._unite_failures(old, new)
        new.in_flight += old.in_flight
        new.uncounted_in_flight += old.uncounted_in_flight
        if old.gate is not None and (of_new := queue.gate_of(new)) is not None:
            of_new.absorb(old.gate)
        self._move_messages(old, new, now_ms)
        old.let_go()
        queue.reoffer_chat(new, now_ms)
        queue.forget_later(new, now_ms)

    def _unite_failures(self, old: Chat, new: Chat) -> None:
        has_failed = (old.has_failed and old.is_busy) or (new.has_failed and new.is_busy)
        if new.has_failed != has_failed:
            new.has_failed = has_failed
            for lane in new.all_lanes():
                lane.key = None  # it stands among the others from now on

    def _move_messages(self, old: Chat, new: Chat, now_ms: int) -> None:
        leased = [entry for entry in self._leases.leased.values() if entry.lane.chat is old]
        lanes = sorted(old.all_lanes(), key=lambda lane: lane.line.index)
        moved = [entry for lane in lanes for entry in self._empty(lane)]
        for lane in lanes:
            if lane.wait_until_ms:
                new_lane = new.counted_lane(lane.line.priority)
                new_lane.wait_until_ms = max(new_lane.wait_until_ms, lane.wait_until_ms)
        for entry in (*moved, *leased, *old.later.values()):
            move(entry, new)
        for entry in old.later.values():
            new.postpone(entry)
        for edits in old.edits.values():
            for entry in edits:
                new.note_edit(entry)
        old.edits = NO_EDITS
        new.waiting += old.waiting
        old.waiting = 0
        for entry in moved:
            self._queue.enter(entry, now_ms)

    def _empty(self, lane: Lane) -> list[Entry]:
        """Take every due message out of a lane."""
        queue = self._queue
        taken = []
        while (entry := lane.head(queue.entries)) is not None:
            entry.is_due = False  # so it is the head no more
            taken.append(entry)
        for entry in taken:
            queue.leave(entry)
        lane.key = None
        return taken


def move(entry: Entry, chat: Chat) -> None:
    """Let a message belong to a chat, under the id by which Telegram knows it now."""
    entry.lane = chat.lane(entry.message)
    if entry.message.chat_id != chat.chat_id:
        entry.become(structs.replace(entry.message, chat_id=chat.chat_id))
