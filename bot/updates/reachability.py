"""Learns from updates whether a chat can be reached: a user blocked the bot, or came back.

``SHOWN_BY`` is the table of what each kind of update shows. A chat that is taken for reachable too early costs one
call; one that is taken for lost gets nothing, so whatever can only come from a chat that takes messages opens it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from aiogram.enums import UpdateType
from aiogram.types import (
    BusinessMessagesDeleted,
    CallbackQuery,
    Chat,
    ChatJoinRequest,
    ChatMemberUpdated,
    Message,
    Update,
)

from tempogram.engine.closing.eraser import ChatEraser
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.messages import ChatId
from tempogram.storage.chats import Chats


class ReachabilityObserver:
    """Updates the database and the engine's memory; an update that changes nothing costs no query."""

    def __init__(self, *, chats: Chats, reachability: Reachability, eraser: ChatEraser | None = None) -> None:
        self._chats = chats
        self._reachability = reachability
        self._eraser = eraser

    async def observe(self, update: Update, bot_id: int) -> None:
        """Record what an update says of its chat.

        Raises:
            LedgerError: Nothing was written; calling it again does no harm.
        """
        if self._eraser is not None and (opened := opens_erased(update)) is not None:
            names, at_s = opened
            for name in names:
                await self._lift(self._eraser, bot_id, name, at_s)
        changed = update.my_chat_member
        if changed is not None and (reason := _reason_lost(changed)) is not None:
            await self._lose(bot_id, changed.chat.id, reason)
        else:
            for name in shown(update, bot_id):
                await self._regain(bot_id, name)
            await self._regain_business(update, bot_id)

    async def _regain_business(self, update: Update, bot_id: int) -> None:
        """Regain what was lost by a business connection that may reply (again).

        One that ends loses nothing by itself: Telegram refuses each message that still waits, in words of its own.
        """
        connection = update.business_connection
        if connection is None or not connection.is_enabled:
            return
        for name in await self._chats.lost_of_business(bot_id, connection.id):
            await self._regain(bot_id, name)

    async def _lift(self, eraser: ChatEraser, bot_id: int, chat_id: ChatId, at_s: int) -> None:
        """Lift an erasure, unless this was sent before it: an update may have waited for its turn since.

        Telegram tells whole seconds; what was sent in the second of the erasure counts as before it.
        """
        if not self._reachability.is_erased(bot_id, chat_id):
            return
        erased_at_ms = await eraser.erased_at_ms(bot_id, chat_id)
        if erased_at_ms is None or at_s > erased_at_ms // 1_000:
            await eraser.lift(bot_id, chat_id)

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
        case "restricted", kind if not getattr(changed.new_chat_member, "is_member", True):
            return f"Forbidden: bot is not a member of the {kind} chat"
        case _:
            return None


def opens_erased(update: Update) -> tuple[list[ChatId], int] | None:
    """Return the names of a chat that may be written to again though it was erased, and since when, in seconds.

    A person opens a chat by writing to the bot, and a group does by adding it. A button does not: when it was pressed
    is not known, and it may have been before the erasure.
    """
    message, changed = update.message, update.my_chat_member
    if message is not None and message.chat.type == "private":
        return [message.chat.id], int(message.date.timestamp())
    if changed is not None and _reason_lost(changed) is None and changed.old_chat_member.status in {"left", "kicked"}:
        return list(_names(changed.chat)), int(changed.date.timestamp())
    return None


def is_bot_leaving(message: Message, bot_id: int) -> bool:
    """Tell whether a message says that the bot itself left: the last update of a group that a bot gets."""
    return message.left_chat_member is not None and message.left_chat_member.id == bot_id


def shown(update: Update, bot_id: int) -> Iterator[ChatId]:
    """Give the names of all conversations that an update shows to be reachable."""
    message = update.message or update.channel_post
    if message is None or not is_bot_leaving(message, bot_id):
        for kind, names_in in SHOWN_BY.items():
            event = getattr(update, kind)
            if event is not None:
                yield from names_in(event)


def _names(chat: Chat) -> Iterator[ChatId]:
    yield chat.id
    if chat.username and chat.type != "private":
        yield f"@{chat.username.lower()}"


def _chat(event: Any) -> Iterator[ChatId]:
    """Give the chat of an event that only a bot with access to the chat gets."""
    return _names(event.chat)


def _business(event: Message | BusinessMessagesDeleted) -> Iterator[ChatId]:
    """Give what the bot says there for a business; of the person's own chat with the bot it says nothing."""
    yield conversation(event.chat.id, event.business_connection_id)


def _pressed(query: CallbackQuery) -> Iterator[ChatId]:
    """Give the chat of the message under which a button was pressed, if the bot itself sent it there."""
    message = query.message
    if isinstance(message, Message) and message.business_connection_id:
        yield from _business(message)
    elif message is not None:
        yield from _names(message.chat)


def _joining(request: ChatJoinRequest) -> Iterator[ChatId]:
    """Give the chat, and the private chat with who asks: the bot may write there until the request is answered."""
    yield from _names(request.chat)
    yield request.user_chat_id


def _nothing(_: object) -> Iterable[ChatId]:
    """Give none: its sender need not have a chat with the bot, or may have blocked it."""
    return ()


SHOWN_BY: Mapping[UpdateType, Callable[[Any], Iterable[ChatId]]] = {
    UpdateType.MESSAGE: _chat,
    UpdateType.EDITED_MESSAGE: _chat,
    UpdateType.CHANNEL_POST: _chat,
    UpdateType.EDITED_CHANNEL_POST: _chat,
    UpdateType.BUSINESS_CONNECTION: _nothing,  # names no chat; see ``_regain_business``
    UpdateType.BUSINESS_MESSAGE: _business,
    UpdateType.EDITED_BUSINESS_MESSAGE: _business,
    UpdateType.DELETED_BUSINESS_MESSAGES: _business,
    UpdateType.GUEST_MESSAGE: _nothing,  # from a chat in which the bot is no member
    UpdateType.MESSAGE_REACTION: _chat,
    UpdateType.MESSAGE_REACTION_COUNT: _chat,
    UpdateType.INLINE_QUERY: _nothing,
    UpdateType.CHOSEN_INLINE_RESULT: _nothing,
    UpdateType.CALLBACK_QUERY: _pressed,
    UpdateType.SHIPPING_QUERY: _nothing,
    UpdateType.PRE_CHECKOUT_QUERY: _nothing,
    UpdateType.PURCHASED_PAID_MEDIA: _nothing,
    UpdateType.POLL: _nothing,
    UpdateType.POLL_ANSWER: _nothing,  # who voted, not where
    UpdateType.MY_CHAT_MEMBER: _chat,
    UpdateType.CHAT_MEMBER: _chat,
    UpdateType.CHAT_JOIN_REQUEST: _joining,
    UpdateType.CHAT_BOOST: _chat,
    UpdateType.REMOVED_CHAT_BOOST: _chat,
    UpdateType.MANAGED_BOT: _nothing,
    UpdateType.SUBSCRIPTION: _nothing,
    UpdateType.STOPPED_MESSAGE_GENERATION: _chat,
}
"""What each kind of update shows to be reachable. Source: https://core.telegram.org/bots/api#update"""
