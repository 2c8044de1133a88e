"""Which tables have something of a chat, and which of their rows. A test knows every table that has a ``chat_id``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, Text, select

from tempogram.engine.model.conversations import BUSINESS
from tempogram.engine.model.messages import ChatId
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import (
    attachments,
    attempts,
    broadcast_recipients,
    broadcasts,
    campaign_claims,
    chat_tags,
    chats,
    fsm_states,
    handles,
    holds,
    payloads,
    referrals,
    texts,
    watch_members,
    watch_notices,
    watch_subscriptions,
)

BY_CHAT: tuple[Table, ...] = (
    chats,
    chat_tags,
    texts,
    fsm_states,
    holds,
    campaign_claims,
    watch_subscriptions,
    watch_notices,
    watch_members,
)
"""Their rows are of a bot and a chat, and go with the chat."""

BY_MESSAGE: tuple[Table, ...] = (payloads, attempts, attachments, referrals, handles)
"""Their rows are of a message, and go with it."""

AFTER_BUSINESS = BUSINESS[:-1] + chr(ord(BUSINESS[-1]) + 1)


async def names_of(database: Database, bot_id: int, chat_id: ChatId) -> list[str]:
    """Return all names of a chat, its present id first: ids from before, @names, what bots say there for a business."""
    is_given = chats.c.bot_id == bot_id, chats.c.chat_id == str(chat_id)
    async with database.reading() as connection:
        name = (await connection.execute(select(chats.c.alias_of).where(*is_given))).scalar() or str(chat_id)
    is_alias = chats.c.alias_of == name
    is_business = (
        (chats.c.chat_id >= BUSINESS)
        & (chats.c.chat_id < AFTER_BUSINESS)
        & chats.c.chat_id.endswith(f":{name}", autoescape=True)
    )
    query = select(chats.c.chat_id).where(chats.c.bot_id == bot_id, is_alias | is_business)
    async with database.reading() as connection:
        found = [*(await connection.execute(query)).scalars()]
    return list(dict.fromkeys([name, str(chat_id), *found]))


def rows_of(table: Table, bot_id: int, names: Collection[str]) -> ColumnElement[bool]:
    """Return the condition for the rows of a chat, in a table that has chats."""
    if table is broadcast_recipients:
        of_bot = broadcast_recipients.c.broadcast_id.in_(select(broadcasts.c.id).where(broadcasts.c.bot_id == bot_id))
        return of_bot & broadcast_recipients.c.chat_id.in_(names)
    column = table.c.chat_id
    values: Sequence[Any] = (
        list(names) if isinstance(column.type, Text) else [int(each) for each in names if is_number(each)]
    )
    return (table.c.bot_id == bot_id) & column.in_(values)


def is_number(name: str) -> bool:
    return name.removeprefix("-").isdigit()


def is_of_chat(body: bytes, names: Collection[str]) -> bool:
    """Tell whether an update happened in a chat, or was sent by the person whose private chat it is.

    >>> is_of_chat(b'{"update_id": 1, "message": {"chat": {"id": 7}, "text": "hello"}}', ["7"])
    True
    >>> is_of_chat(b'{"update_id": 1, "message": {"chat": {"id": -5}, "text": "call 7"}}', ["7"])
    False
    >>> is_of_chat(b'{"update_id": 1, "inline_query": {"from": {"id": 7}, "query": "x"}}', ["7"])
    True
    """
    if not any(name.lstrip("@-").encode() in body for name in names):
        return False
    try:
        events = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True  # nothing can be read from it that is worth keeping
    if not isinstance(events, dict):
        return False
    return any(_chat_in(event) in names for event in events.values() if isinstance(event, Mapping))


def _chat_in(event: Mapping[str, Any]) -> str:
    for holder in (event, event.get("message"), event.get("message_origin")):
        chat = holder.get("chat") if isinstance(holder, Mapping) else None
        if isinstance(chat, Mapping):
            return str(chat.get("id"))
    sender = event.get("from") or event.get("user")
    return str(sender.get("id")) if isinstance(sender, Mapping) else ""
