"""Stores that a chat is unreachable, and that two ids are one chat."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, select, tuple_, update

from tempogram.engine.model.messages import ChatId, Hold
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import IS_OPEN, chats, holds, messages
from tempogram.storage.fsm import writes as state_writes
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger import holds as hold_writes


def mark_unreachable(connection: Connection, bot_id: int, chat_id: ChatId, reason: str) -> None:
    write = insert_by(chats, connection).values(
        bot_id=bot_id, chat_id=chat_ids.to_text(chat_id), reachable=False, reason=reason
    )
    connection.execute(
        write.on_conflict_do_update(
            index_elements=[chats.c.bot_id, chats.c.chat_id],
            set_={"reachable": write.excluded.reachable, "reason": write.excluded.reason},
        )
    )


def mark_reachable(connection: Connection, names: Collection[tuple[int, str | None]]) -> None:
    """Store that these chats are reachable again."""
    is_lost = tuple_(chats.c.bot_id, chats.c.chat_id).in_(names), chats.c.reachable.is_(False)
    connection.execute(update(chats).where(*is_lost).values(reachable=True, reason=None))


def move(connection: Connection, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId, at_ms: int) -> None:
    """Make the first id an alias of the second, learned at a time; open messages, states and the hold move there."""
    if from_chat_id == to_chat_id:
        return
    old, new = str(from_chat_id), str(to_chat_id)
    _write_alias(connection, bot_id, old, new, at_ms)
    _move_messages(connection, bot_id, old, new)
    _move_hold(connection, bot_id, old, to_chat_id)
    if isinstance(from_chat_id, int) and isinstance(to_chat_id, int):  # a state's chat is never a name
        state_writes.move_chat(connection, bot_id, from_chat_id, to_chat_id)


def _write_alias(connection: Connection, bot_id: int, old: str, new: str, at_ms: int) -> None:
    # Aliases of the old id become aliases of the new one, so that resolving is always one step.
    of_bot = chats.c.bot_id == bot_id
    connection.execute(update(chats).where(of_bot, chats.c.chat_id == new).values(alias_of=None))
    connection.execute(
        update(chats).where(of_bot, chats.c.alias_of == old, chats.c.chat_id != new).values(alias_of=new)
    )
    write = insert_by(chats, connection).values(bot_id=bot_id, chat_id=old, alias_of=new, alias_since_ms=at_ms)
    connection.execute(
        write.on_conflict_do_update(
            index_elements=[chats.c.bot_id, chats.c.chat_id],
            set_={"alias_of": write.excluded.alias_of, "alias_since_ms": write.excluded.alias_since_ms},
        )
    )


def _move_messages(connection: Connection, bot_id: int, old: str, new: str) -> None:
    of_chat = messages.c.bot_id == bot_id, messages.c.chat_id == old
    connection.execute(update(messages).where(*of_chat, IS_OPEN).values(chat_id=new))


def _move_hold(connection: Connection, bot_id: int, old: str, new: ChatId) -> None:
    of_old = holds.c.bot_id == bot_id, holds.c.chat_id == old
    row = connection.execute(select(holds.c.until_ms, holds.c.since_ms).where(*of_old)).first()
    if row is not None:
        connection.execute(delete(holds).where(*of_old))
        hold_writes.hold(connection, [hold_writes.BegunHold(Hold(bot_id, new, row.until_ms), row.since_ms)])
