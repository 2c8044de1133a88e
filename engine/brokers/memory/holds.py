"""Holds of chats and bots, and what a 429 tells of both: see ``lua/shared/holds.lua``, step for step."""

from __future__ import annotations

from tempogram.engine.brokers.memory.lanes import BotState, Chat, Entry
from tempogram.engine.brokers.memory.queue import Queue
from tempogram.engine.limits.aimd import BLAME_MS, DOUBT_MS
from tempogram.engine.model.messages import ChatId, Hold


class Holds:
    """Keeps chats and bots from sending until a time."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def throttle(self, entry: Entry, until_ms: int, now_ms: int, *, is_near: bool) -> tuple[Hold, ...]:
        """Hold a chat, and its bot too when a second chat gives evidence that the bot is meant.

        A chat near its own limit is meant itself; else its count is doubtful, and that of the bot if the bot is meant.
        An uncounted call tells nothing of our count; if it is of no chat that messages go to, nothing of the bot
        either.

        Source: Telegram does not say which of the two it is; so the
        chat is held, and the bot on evidence.
        """
        queue = self._queue
        chat = entry.lane.chat
        bot = chat.bot
        holds = [self.hold(bot, chat.chat_id, until_ms, now_ms)]
        is_counted = entry.message.cost > 0
        if is_near and is_counted:
            self._lower_chat(chat, until_ms, now_ms)
        if is_near or (not is_counted and queue.limits.of_chat(chat.chat_id) is None):
            return tuple(holds)
        if is_counted:
            chat.doubt_until_ms = now_ms + DOUBT_MS
        bot.blames = [(at_ms, chat_id) for at_ms, chat_id in bot.blames if at_ms >= now_ms - BLAME_MS]
        bot.blames.append((now_ms, chat.chat_id))
        is_bot_meant = len({bot.resolve(chat_id) for _, chat_id in bot.blames}) > 1
        if is_counted and is_bot_meant:
            bot.doubt_until_ms = now_ms + DOUBT_MS
        if is_counted:
            self._lower(entry, until_ms, now_ms, is_bot_meant=is_bot_meant)
        if is_bot_meant:
            holds.append(self.hold(bot, None, until_ms, now_ms))
        return tuple(holds)

    def _lower(self, entry: Entry, until_ms: int, now_ms: int, *, is_bot_meant: bool) -> None:
        """Lower the limit of the bot if it is meant, else that of the chat, unless the bot is near its own."""
        queue, chat = self._queue, entry.lane.chat
        bot = chat.bot
        of_bot = bot.paid_gate if entry.pays else bot.gate
        if is_bot_meant and not entry.pays:
            since_ms = now_ms - queue.limits.bot.window_ms
            refused = sum(at_ms > since_ms for at_ms, _ in bot.blames)
            queue.lower_limit(bot, queue.limits.bot, now_ms, until_ms=until_ms, refused=refused)
        elif not is_bot_meant and (of_bot is None or not of_bot.is_near(now_ms)):
            self._lower_chat(chat, until_ms, now_ms)

    def _lower_chat(self, chat: Chat, until_ms: int, now_ms: int) -> None:
        limit = self._queue.limits.of_chat(chat.chat_id)
        self._queue.lower_limit(chat, limit, now_ms, until_ms=until_ms, refused=1)

    def hold(self, bot: BotState, chat_id: ChatId | None, until_ms: int, now_ms: int) -> Hold:
        queue = self._queue
        if chat_id is None:
            bot.hold_until_ms = max(bot.hold_until_ms, until_ms)
            queue.reoffer(bot, now_ms)
            return Hold(bot.bot_id, None, bot.hold_until_ms)
        chat = queue.chat(bot, bot.resolve(chat_id))
        chat.hold_until_ms = max(chat.hold_until_ms, until_ms)
        queue.reoffer_chat(chat, now_ms)
        queue.forget_later(chat, now_ms)
        return Hold(bot.bot_id, chat.chat_id, chat.hold_until_ms)
