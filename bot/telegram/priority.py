"""The priority of an answer: high if the update addresses the bot itself."""

from __future__ import annotations

from aiogram.enums import MessageEntityType
from aiogram.types import Message, MessageEntity, Update

from tempogram.engine.model.messages import Priority


def priority_of(update: Update, bot_id: int, username: str) -> Priority:
    """Return high for a mention of the bot and for a reply to one of its messages, normal otherwise."""
    message = update.message or update.channel_post
    return Priority.HIGH if message is not None and is_addressed(message, bot_id, username) else Priority.NORMAL


def is_addressed(message: Message, bot_id: int, username: str) -> bool:
    """Tell whether a message mentions the bot or replies to one of its messages."""
    return _replies_to(message, bot_id) or _mentions(message, bot_id, username)


def _replies_to(message: Message, bot_id: int) -> bool:
    replied = message.reply_to_message
    return replied is not None and replied.from_user is not None and replied.from_user.id == bot_id


def _mentions(message: Message, bot_id: int, username: str) -> bool:
    text = message.text or message.caption or ""
    entities = message.entities or message.caption_entities or []
    return any(_names(entity, text, bot_id, username.lower()) for entity in entities)


def _names(entity: MessageEntity, text: str, bot_id: int, username: str) -> bool:
    if entity.type == MessageEntityType.TEXT_MENTION:
        return entity.user is not None and entity.user.id == bot_id
    named = entity.extract_from(text).lower()
    if entity.type == MessageEntityType.MENTION:
        return named == f"@{username}"
    return entity.type == MessageEntityType.BOT_COMMAND and named.endswith(f"@{username}")
