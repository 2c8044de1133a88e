"""A chat's id as text: numbers and names share a column."""

from __future__ import annotations

from tempogram.engine.model.messages import ChatId


def to_text(chat_id: ChatId | None) -> str | None:
    """Return the text of the column.

    >>> to_text(-100123), to_text("@news"), to_text(None)
    ('-100123', '@news', None)
    """
    return None if chat_id is None else str(chat_id)


def from_text(text: str | None) -> ChatId | None:
    """Return the id of a column. Names begin with a letter or ``@``, so only a number looks like one.

    >>> from_text("-100123"), from_text("@news"), from_text("business:shop:7"), from_text(None)
    (-100123, '@news', 'business:shop:7', None)
    """
    return None if text is None else required(text)


def required(text: str) -> ChatId:
    """Return the id of a column that is never NULL.

    >>> required("7"), required("@news")
    (7, '@news')
    """
    return int(text) if text[:1] in "-0123456789" else text
