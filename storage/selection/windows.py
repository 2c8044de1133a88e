"""Cuts the chats of a bot into pieces, by their ids as texts, so that what is read at once is bounded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, union

from tempogram.engine.model.messages import ChatId
from tempogram.engine.model.selection import Selection
from tempogram.storage.database.models import chat_tags, chats

WINDOW = 2_000
"""Chats that are read at once for a page. Untuned: it takes some 10 ms."""

COUNTED = 20_000
"""Chats that are counted at once. A statement over all would take seconds, and some planners read them zone by zone."""

LISTED = 1_000
"""Chats of a list that are looked up at once: a statement takes 32,000 values."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some chats, and the last of their ids."""

    condition: ColumnElement[bool]
    last: str


def in_order(listed: Sequence[ChatId]) -> list[str]:
    return sorted(set(map(str, listed)))


def listed_window(listed: Sequence[str], after: str, size: int = LISTED) -> Window | None:
    """Return the next of the chats that a selection lists, which are in order; None: there are no more."""
    start = bisect_right(listed, after)
    names = listed[start : start + size]
    return Window(chats.c.chat_id.in_(names), names[-1]) if names else None


def last_of_window(selection: Selection, after: str, size: int) -> Select[Any]:
    """Select the last id of the next window: of the chats with a tag, or of all chats."""
    page = _tagged(selection, after, size) if selection.tags else _all(selection, after, size)
    return select(func.max(page.c.chat_id))


def window(selection: Selection, after: str, last: str) -> Window:
    within = and_(chats.c.chat_id > after, chats.c.chat_id <= last)
    if not selection.tags:
        return Window(within, last)
    tags = chat_tags.c
    tagged = tags.bot_id == selection.bot_id, tags.tag.in_(selection.tags), tags.chat_id > after, tags.chat_id <= last
    return Window(and_(within, chats.c.chat_id.in_(select(tags.chat_id).where(*tagged))), last)


def _all(selection: Selection, after: str, size: int) -> Any:
    of_bot = chats.c.bot_id == selection.bot_id, chats.c.chat_id > after
    return select(chats.c.chat_id).where(*of_bot).order_by(chats.c.chat_id).limit(size).subquery()


def _tagged(selection: Selection, after: str, size: int) -> Any:
    """Each tag has its chats in order, so the first of all of them are among the first of each."""
    tags = chat_tags.c
    pages = (
        select(tags.chat_id)
        .where(tags.bot_id == selection.bot_id, tags.tag == tag, tags.chat_id > after)
        .order_by(tags.chat_id)
        .limit(size)
        .subquery()
        for tag in selection.tags
    )
    merged = union(*(select(page.c.chat_id) for page in pages)).subquery()
    return select(merged.c.chat_id).order_by(merged.c.chat_id).limit(size).subquery()
