"""Stores that a chat is unreachable, when something was sent there, and that two ids are one chat."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, func, literal, select, tuple_, update

from tempogram.engine.model.messages import ChatId, Hold
from tempogram.engine.ports.ledger import Record
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import IS_OPEN, chat_tags, chats, holds, messages
from tempogram.storage.fsm import writes as state_writes
from tempogram.storage.ledger import holds as hold_writes
from tempogram.storage.ledger.chat_changes import REACHABLE, ChatChange, SentTo, change_chats, type_of
from tempogram.storage.ledger.written import written_to
from tempogram.storage.selection import claims as claim_writes
from tempogram.storage.watches import subscriptions

KNOWN = (
    chats.c.last_message_in_at_ms,
    chats.c.last_message_out_at_ms,
    chats.c.title,
    chats.c.time_zone,
    chats.c.language,
    chats.c.opted_out_at_ms,
    chats.c.quiet_from,
    chats.c.quiet_until,
)
"""What moves with a chat; the type of a group is another one afterwards."""


def note_sent(connection: Connection, records: Iterable[Record]) -> None:
    """Store when something was last sent to each chat."""
    change_chats(connection, (change for each in records if (change := _sent(each)) is not None))


def mark_unreachable(connection: Connection, bot_id: int, chat_id: ChatId, reason: str) -> None:
    change_chats(connection, [ChatChange(bot_id, str(chat_id), reason=reason)])


def mark_reachable(connection: Connection, names: Collection[tuple[int, str | None]]) -> None:
    """Store that these chats are reachable again."""
    columns = chats.c.bot_id, chats.c.chat_id
    lost = connection.execute(select(*columns).where(tuple_(*columns).in_(names), chats.c.reachable.is_(False)))
    change_chats(connection, [ChatChange(*row, reason=REACHABLE) for row in lost])


def move(connection: Connection, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId, at_ms: int) -> None:
    """Make the first id an alias of the second, learned at a time.

    Open messages, states, claims, what is watched and the hold move there, and what is known of the chat, where the
    second has nothing itself.
    """
    if from_chat_id == to_chat_id:
        return
    names = str(from_chat_id), str(to_chat_id)

    def move_locked(connection: Connection) -> None:
        _move(connection, bot_id, from_chat_id, to_chat_id, at_ms)

    old, new = (ChatChange(bot_id, name) for name in names)
    change_chats(connection, [old, new._replace(then=move_locked)])


def _sent(each: Record) -> SentTo | None:
    chat_id = written_to(each)
    return None if chat_id is None else SentTo(each.bot_id, str(chat_id), each.recorded_at_ms, type_of(chat_id))


def _move(connection: Connection, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId, at_ms: int) -> None:
    old, new = str(from_chat_id), str(to_chat_id)
    _write_alias(connection, bot_id, old, new, at_ms)
    _move_knowledge(connection, bot_id, old, new)
    _move_messages(connection, bot_id, old, new)
    _move_hold(connection, bot_id, old, to_chat_id)
    claim_writes.move(connection, bot_id, old, new)
    subscriptions.move_chat(connection, bot_id, old, new)
    if isinstance(from_chat_id, int) and isinstance(to_chat_id, int):  # a state's chat is never a name
        state_writes.move_chat(connection, bot_id, from_chat_id, to_chat_id)


def _write_alias(connection: Connection, bot_id: int, old: str, new: str, at_ms: int) -> None:
    # Aliases of the old id become aliases of the new one, so that resolving is always one step.
    of_bot = chats.c.bot_id == bot_id
    connection.execute(update(chats).where(of_bot, chats.c.chat_id == new).values(alias_of=None))
    connection.execute(
        update(chats).where(of_bot, chats.c.alias_of == old, chats.c.chat_id != new).values(alias_of=new)
    )
    connection.execute(update(chats).where(of_bot, chats.c.chat_id == old).values(alias_of=new, alias_since_ms=at_ms))


def _move_knowledge(connection: Connection, bot_id: int, old: str, new: str) -> None:
    """Give the new id what was known of the old one, each thing that it does not have itself."""
    of_bot = chats.c.bot_id == bot_id
    known = connection.execute(select(*KNOWN).where(of_bot, chats.c.chat_id == old)).mappings().one()
    hours = {name: known[name] for name in ("quiet_from", "quiet_until")}
    has_none = of_bot, chats.c.chat_id == new, chats.c.quiet_from.is_(None)
    connection.execute(update(chats).where(*has_none).values(hours))
    others = {each.name: func.coalesce(each, known[each.name]) for each in KNOWN if each.name not in hours}
    connection.execute(update(chats).where(of_bot, chats.c.chat_id == new).values(others))
    _move_tags(connection, bot_id, old, new)


def _move_tags(connection: Connection, bot_id: int, old: str, new: str) -> None:
    of_old = chat_tags.c.bot_id == bot_id, chat_tags.c.chat_id == old
    tags = select(chat_tags.c.bot_id, chat_tags.c.tag, literal(new)).where(*of_old)
    names = ["bot_id", "tag", "chat_id"]
    connection.execute(insert_by(chat_tags, connection).from_select(names, tags).on_conflict_do_nothing())
    connection.execute(delete(chat_tags).where(*of_old))


def _move_messages(connection: Connection, bot_id: int, old: str, new: str) -> None:
    of_chat = messages.c.bot_id == bot_id, messages.c.chat_id == old
    connection.execute(update(messages).where(*of_chat, IS_OPEN).values(chat_id=new))


def _move_hold(connection: Connection, bot_id: int, old: str, new: ChatId) -> None:
    of_old = holds.c.bot_id == bot_id, holds.c.chat_id == old
    row = connection.execute(select(holds.c.until_ms, holds.c.since_ms).where(*of_old)).first()
    if row is not None:
        connection.execute(delete(holds).where(*of_old))
        hold_writes.hold(connection, [hold_writes.BegunHold(Hold(bot_id, new, row.until_ms), row.since_ms)])
