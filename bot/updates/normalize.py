"""Fills in fields that aiogram requires, so that a hand-written update is understood."""

from __future__ import annotations

from typing import Any

MESSAGE_FIELDS = ("message", "edited_message", "channel_post", "edited_channel_post")


def normalize(update: dict[str, Any], now_s: int) -> dict[str, Any]:
    """Return the update with a date, a chat type and names where a message has none.

    >>> filled = normalize({"update_id": 1, "message": {"message_id": 1, "chat": {"id": -123}, "from": {"id": 4}}}, 9)
    >>> filled["message"]["chat"]["type"], filled["message"]["from"]["is_bot"], filled["message"]["date"]
    ('group', False, 9)
    """
    return {
        name: _message(value, now_s) if name in MESSAGE_FIELDS and isinstance(value, dict) else value
        for name, value in update.items()
    }


def _message(message: dict[str, Any], now_s: int) -> dict[str, Any]:
    filled = {"date": now_s, **message}
    if isinstance(chat := filled.get("chat"), dict):
        filled["chat"] = {"type": _chat_type(chat.get("id")), **chat}
    if isinstance(user := filled.get("from"), dict):
        filled["from"] = {"is_bot": False, "first_name": "", **user}
    return filled


def _chat_type(chat_id: object) -> str:
    if not isinstance(chat_id, int) or chat_id > 0:
        return "private"
    return "supergroup" if str(chat_id).startswith("-100") and chat_id < -1_000_000_000_000 else "group"
