"""To which chat a message was written."""

from __future__ import annotations

from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.ports.ledger import Record


def written_to(record: Record) -> ChatId | None:
    """Return the chat in which the bot has written a message, or an edit; None for any other end, and for a deletion.

    What is said for a business is not said in the bot's own chat with the person; and an inline message, and a call
    that concerns no chat, have names that begin with a word.
    """
    chat_id = record.chat_id if record.migrated_to is None else record.migrated_to
    if record.status is not Status.SENT or record.telegram_message_id is None:
        return None
    if record.conversation not in {None, record.chat_id}:
        return None
    return chat_id if isinstance(chat_id, int) or (chat_id is not None and chat_id.startswith("@")) else None
