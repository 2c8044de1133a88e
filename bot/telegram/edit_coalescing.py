"""Finds the message that a call edits, so that a newer edit replaces a waiting one, and a delete drops it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tempogram.engine.model.messages import Outgoing

REPLACEABLE = frozenset(
    """
    editMessageCaption editMessageLiveLocation editMessageMedia editMessageReplyMarkup editMessageText
    """.split()
)
"""Each sets everything that it changes, so of two alike only the later matters. All answer with a message or True."""

DELETIONS = frozenset({"deleteMessage", "deleteMessages"})


def replaces(name: str, params: Mapping[str, Any]) -> str | None:
    """Return a key for the message that an edit changes, within its chat; None for any other call.

    >>> replaces("editMessageText", {"message_id": 7, "text": "b"}), replaces("sendMessage", {"text": "b"})
    ('edit:7', None)
    """
    if name not in REPLACEABLE:
        return None
    message_id = params.get("message_id") or params.get("inline_message_id")
    return None if message_id is None else key(message_id, params.get("business_connection_id"))


def key(message_id: object, connection_id: object = None) -> str:
    return f"edit:{message_id}" if connection_id is None else f"edit:{connection_id}:{message_id}"


def edits_made_needless(message: Outgoing) -> list[str]:
    """Return the keys of the edits that a call makes needless once it is made: those of what it deletes.

    >>> call = Outgoing(id="a", bot_id=1, chat_id=5, method="deleteMessages", params=b'{"message_ids":[7,8]}')
    >>> edits_made_needless(call)
    ['edit:7', 'edit:8']
    """
    if message.method not in DELETIONS:
        return []
    params = msgspec.json.decode(message.params)
    deleted = params.get("message_ids", [params.get("message_id")])
    return [key(each) for each in deleted] if isinstance(deleted, list) else []
