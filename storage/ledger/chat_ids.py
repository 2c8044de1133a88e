"""A chat's id as text: the books keep numbers and names in one column."""

from __future__ import annotations

from tempogram.engine.model.messages import ChatId


def to_text(chat_id: ChatId | None) -> str | None:
    """Return what the column holds.

    >>> to_text(-100123), to_text("@news"), to_text(None)
    ('-100123', '@news', None)
    """
    return None if chat_id is None else str(chat_id)


def from_text(text: str | None) -> ChatId | None:
    """Return what was written. Names begin with a letter or ``@``, so nothing but a number looks like one.

    >>> from_text("-100123"), from_text("@news"), from_text("inline:7"), from_text(None)
    (-100123, '@news', 'inline:7', None)
    """
    return None if text is None else named(text)


def named(text: str) -> ChatId:
    """Return a chat's id where the column is never empty.

    >>> named("7"), named("@news")
    (7, '@news')
    """
    return int(text) if text[:1] in "-0123456789" else text
