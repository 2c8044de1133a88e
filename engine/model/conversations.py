"""Which conversation a message belongs to: its chat, or what a bot says there in the name of a business account.

A person who blocked a bot still gets what it says for a business, and the other way round. So each is reachable by
itself, under a name of its own. Lanes, windows and holds stay with the chat.

Source: https://core.telegram.org/bots/api#businessconnection
"""

from __future__ import annotations

import msgspec

from tempogram.engine.model.messages import ChatId, Outgoing

BUSINESS = "business:"

_FIELD = b'"business_connection_id"'


class _Params(msgspec.Struct):
    business_connection_id: str | None = None


_decode = msgspec.json.Decoder(_Params).decode


def conversation_of(message: Outgoing) -> ChatId | None:
    """Return a message's conversation; None if it belongs to no chat. Most parameters are not parsed for that.

    >>> for_shop = Outgoing(id="", bot_id=1, chat_id=7, method="", params=b'{"business_connection_id":"shop"}')
    >>> conversation_of(for_shop), conversation_of(Outgoing(id="", bot_id=1, chat_id=7, method="", params=b"{}"))
    ('business:shop:7', 7)
    """
    if message.chat_id is None or _FIELD not in message.params:
        return message.chat_id
    try:
        connection_id = _decode(message.params).business_connection_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return message.chat_id  # Telegram says what is wrong with it
    return conversation(message.chat_id, connection_id)


def conversation(chat_id: ChatId, connection_id: str | None) -> ChatId:
    """Return the name of a conversation; without a business connection that is the chat itself."""
    return f"{BUSINESS}{connection_id}:{chat_id}" if connection_id else chat_id


def chat_of(name: ChatId) -> ChatId:
    """Return the chat in which a conversation takes place.

    >>> chat_of("business:shop:7"), chat_of("business:shop:@news"), chat_of("@news"), chat_of(-5)
    (7, '@news', '@news', -5)
    >>> chat_of("business:shop:inline:AbC"), chat_of("business:shop:inline:7")
    ('inline:AbC', 'inline:7')
    """
    if not isinstance(name, str) or not name.startswith(BUSINESS):
        return name
    chat_id = name.removeprefix(BUSINESS).partition(":")[2]
    try:
        return int(chat_id)
    except ValueError:
        return chat_id
