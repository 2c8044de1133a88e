"""What the ledger knows of a message whose refusal leaves a doubt."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, literal, or_, select

from tempogram.engine.model.messages import Outgoing
from tempogram.storage.database.models import FAILED, LOST, MIGRATED, PRESUMED, UNCERTAIN, attempts, chats, messages
from tempogram.storage.ledger import chat_ids


def may_have_arrived(message: Outgoing) -> ColumnElement[bool]:
    """See ``Ledger``. A failure that Telegram counted was written: what the host did before it failed is unknown."""
    is_failed = and_(attempts.c.outcome == FAILED, attempts.c.counted_at_ms.is_not(None))
    by_itself = and_(attempts.c.message_id == message.id, or_(attempts.c.outcome.in_([UNCERTAIN, LOST]), is_failed))
    return or_(exists().where(by_itself), exists().where(_since(message, attempts.c.message_id == PRESUMED)))


def has_moved(message: Outgoing) -> ColumnElement[bool]:
    """See ``Ledger``. What waited when the group moved has the new id; what came later may have the old one."""
    if not isinstance(message.chat_id, int):
        return literal(value=False)
    present = str(message.chat_id)
    has_old_id = messages.c.id == message.id, messages.c.chat_id.like("-%"), messages.c.chat_id != present
    old_ids = select(chats.c.chat_id).where(chats.c.bot_id == message.bot_id, chats.c.alias_of == present)
    of_group = attempts.c.bot_id == message.bot_id, attempts.c.chat_id.in_(old_ids)
    moved = and_(*of_group, attempts.c.outcome == MIGRATED, attempts.c.counted_at_ms >= message.submitted_at_ms)
    return or_(exists().where(*has_old_id), exists().where(moved))


def _since(message: Outgoing, which: ColumnElement[bool]) -> ColumnElement[bool]:
    is_chat = attempts.c.bot_id == message.bot_id, attempts.c.chat_id == chat_ids.to_text(message.chat_id)
    return and_(which, *is_chat, attempts.c.counted_at_ms >= message.submitted_at_ms)
