"""Stores incoming messages and their chats before they are handled."""

from __future__ import annotations

import asyncio

from aiogram.types import Chat, Message, Update

from tempogram.bot.behaviours import replies
from tempogram.bot.generator.conversation import ConversationWriter, without_nul
from tempogram.bot.updates.reachability import ReachabilityObserver, is_bot_leaving
from tempogram.engine.model.ids import Ids
from tempogram.engine.selection.languages import is_language
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.chats import ChatActivity, Chats
from tempogram.storage.messages import Incoming, MessageHistory

MESSAGE_ID_MAX = (1 << 63) - 1
"""The largest value of the column. Telegram's ids are far below; a larger one would fail again at every start."""


class Recorder:
    """Stores messages. Handlers that run at the same time share a transaction, and a second run changes nothing."""

    def __init__(
        self,
        *,
        history: MessageHistory,
        chats: Chats,
        reachability: ReachabilityObserver,
        conversation_writer: ConversationWriter,
        ids: Ids,
    ) -> None:
        self._history = history
        self._chats = chats
        self._reachability = reachability
        self._conversation_writer = conversation_writer
        self._ids = ids

    async def record(self, update: Update, registered: RegisteredBot, *, received_at_ms: int) -> None:
        """Store whether the chat can be reached, and the new message of an update, if it has one.

        Raises:
            LedgerError: Perhaps not all of it was written; calling it again does no harm.
        """
        await self._reachability.observe(update, registered.bot_id)
        message = update.message or update.channel_post
        if message is None or message.message_id > MESSAGE_ID_MAX:
            return
        incoming = Incoming(
            id=self._ids.new(received_at_ms),
            bot_id=registered.bot_id,
            chat_id=message.chat.id,
            update_id=update.update_id,
            telegram_message_id=message.message_id,
            received_at_ms=received_at_ms,
        )
        # Submitted together, so that they share a transaction.
        await asyncio.gather(
            self._history.note_incoming(incoming),
            self._record_chat(message, registered.bot_id, received_at_ms),
            self._record_text(message, update, registered, received_at_ms),
        )

    async def _record_chat(self, message: Message, bot_id: int, at_ms: int) -> None:
        if not is_bot_leaving(message, bot_id):
            await self._chats.note_activity(_activity(message, bot_id, at_ms))

    async def _record_text(self, message: Message, update: Update, registered: RegisteredBot, at_ms: int) -> None:
        if replies.NAME in registered.behaviours:
            await self._conversation_writer.remember(
                message, bot_id=registered.bot_id, update_id=update.update_id, at_ms=at_ms
            )


def _activity(message: Message, bot_id: int, at_ms: int) -> ChatActivity:
    chat = message.chat
    return ChatActivity(
        bot_id=bot_id, chat_id=chat.id, at_ms=at_ms, title=_title(chat), type=chat.type, language=_language(message)
    )


def _language(message: Message) -> str | None:
    """Return the language of a private chat: the one that the user's app is set to."""
    if message.chat.type != "private" or message.from_user is None:
        return None
    language = message.from_user.language_code
    return language if language is not None and is_language(language) else None


def _title(chat: Chat) -> str | None:
    """Return the name under which a person knows the chat."""
    names = [chat.title] if chat.type != "private" else [chat.first_name, chat.last_name]
    title = " ".join(name for name in names if name) or chat.username
    return None if title is None else without_nul(title)
