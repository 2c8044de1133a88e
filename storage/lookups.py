"""Queries that find messages by what a user knows of them; each has an index of its own in ``messages``.

    of_number  ``ix_messages_reply_lookup`` of one bot, ``ix_messages_chat_telegram_msg`` of all
    of_chat    ``messages_of_chat``
    incoming   ``ix_messages_incoming``
    other_names  ``chats_by_alias``

SQLite uses a partial index only if the query repeats its condition, word for word.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, or_, select, tuple_

from tempogram.storage.database.models import IS_IN, IS_OUT, IS_SHARED, chats, messages

ALBUM_MAX = 10
"""Items of an album: https://core.telegram.org/bots/api#sendmediagroup. Their numbers follow one another."""

FOUND_MAX = 1_000
"""Messages with one number: one of each bot of the fleet that is in the chat."""


class After(NamedTuple):
    """The last message of the page before."""

    at_ms: int
    message_id: str


def other_names(bot_id: int, name: str) -> Select[Any]:
    """Select the names of a chat besides its id or its ``@name``, whichever is given.

    An id that a group had before it became a supergroup is none: there the same numbers are other messages.
    """
    of_bot = chats.c.bot_id == bot_id
    if name.startswith("@"):
        return select(chats.c.alias_of).where(of_bot, chats.c.chat_id == name, chats.c.alias_of.is_not(None))
    return select(chats.c.chat_id).where(of_bot, chats.c.alias_of == name, chats.c.chat_id.like("@%"))


def of_number(names: Collection[str], number: int, *, bot_id: int | None) -> Select[Any]:
    """Select what may have a number of Telegram's in a chat: with a bot what it sent, else what any sent or received.

    Without a bot nothing of a private chat is found, in which each bot counts for itself.

    An album is stored with the number of its first item, so those shortly before are selected, too.
    """
    numbers = messages.c.telegram_message_id
    is_near = messages.c.chat_id.in_(names), numbers > number - ALBUM_MAX, numbers <= number
    found = select(messages).where(*is_near)
    of_bot = (IS_SHARED,) if bot_id is None else (messages.c.bot_id == bot_id, IS_OUT)
    return found.where(*of_bot).order_by(numbers.desc()).limit(FOUND_MAX)


def of_chat(bot_id: int, name: str, *, before_id: str | None, limit: int) -> Select[Any]:
    """Select messages of a chat, newest first, without calls that show none (a deletion)."""
    is_shown = or_(messages.c.direction == "in", messages.c.cost > 0)
    page = select(messages).where(messages.c.bot_id == bot_id, messages.c.chat_id == name, is_shown)
    if before_id is not None:
        page = page.where(messages.c.id < before_id)
    return page.order_by(messages.c.id.desc()).limit(limit)


def incoming(bot_id: int, *, since_ms: int, until_ms: int, after: After | None, limit: int) -> Select[Any]:
    """Select what a bot received in a time, oldest first."""
    at_ms = messages.c.submitted_at_ms
    page = select(messages).where(IS_IN, messages.c.bot_id == bot_id, at_ms >= since_ms, at_ms < until_ms)
    if after is not None:
        # The first bound is one of the index; the second alone is none, as an id is not in it.
        page = page.where(and_(at_ms >= after.at_ms, tuple_(at_ms, messages.c.id) > tuple_(*after)))
    return page.order_by(at_ms, messages.c.id).limit(limit)
