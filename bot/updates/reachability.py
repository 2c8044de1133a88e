"""Learns from updates whether a chat can be reached: a user blocked the bot, or came back."""

from __future__ import annotations

from collections.abc import Iterator

from aiogram.types import Chat, ChatMemberUpdated, Message, Update

from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.model.messages import ChatId
from tempogram.storage.chats import Chats


class ReachabilityObserver:
    """Updates the database and the engine's memory; an update that changes nothing costs no query."""

    def __init__(self, *, chats: Chats, reachability: Reachability) -> None:
        self._chats = chats
        self._reachability = reachability

    async def observe(self, update: Update, bot_id: int) -> None:
        """Record what an update says of its chat.

        Raises:
            LedgerError: Nothing was written; calling it again does no harm.
        """
        changed = update.my_chat_member
        if changed is not None and (reason := _reason_lost(changed)) is not None:
            await self._lose(bot_id, changed.chat.id, reason)
        elif (chat := _reachable_chat(update, bot_id)) is not None:
            for name in _names(chat):
                await self._regain(bot_id, name)

    async def _lose(self, bot_id: int, chat_id: int, reason: str) -> None:
        if not self._reachability.is_unreachable(bot_id, chat_id):
            await self._chats.mark_unreachable(bot_id, chat_id, reason)
            await self._reachability.mark_unreachable(bot_id, chat_id, reason)

    async def _regain(self, bot_id: int, chat_id: ChatId) -> None:
        if self._reachability.is_unreachable(bot_id, chat_id):
            await self._chats.mark_reachable(bot_id, chat_id)
            self._reachability.mark_reachable(bot_id, chat_id)


def _reason_lost(changed: ChatMemberUpdated) -> str | None:
    """Return how Telegram will refuse messages to this chat from now on; None if it takes them.

    Source: https://core.telegram.org/bots/api#chatmember
    """
    match changed.new_chat_member.status, changed.chat.type:
        case "kicked", "private":
            return "Forbidden: bot was blocked by the user"
        case "kicked", kind:
            return f"Forbidden: bot was kicked from the {kind} chat"
        case "left", kind:
            return f"Forbidden: bot is not a member of the {kind} chat"
        case _:
            return None


def is_bot_leaving(message: Message, bot_id: int) -> bool:
    """Tell whether a message says that the bot itself left: the last update of a group that a bot gets."""
    return message.left_chat_member is not None and message.left_chat_member.id == bot_id


def _reachable_chat(update: Update, bot_id: int) -> Chat | None:
    """Return the chat of an update that only a bot with access to the chat gets."""
    message = update.message or update.edited_message or update.channel_post or update.edited_channel_post
    if message is not None:
        return None if is_bot_leaving(message, bot_id) else message.chat
    if update.my_chat_member is not None:
        return update.my_chat_member.chat
    pressed = update.callback_query.message if update.callback_query is not None else None
    return None if pressed is None else pressed.chat


def _names(chat: Chat) -> Iterator[ChatId]:
    yield chat.id
    if chat.username and chat.type != "private":
        yield f"@{chat.username.lower()}"
