"""Which kinds of updates Telegram is asked for: the usual ones, and those that somebody's handler waits for."""

from __future__ import annotations

from aiogram import Router
from aiogram.enums import UpdateType

ON_REQUEST = frozenset({UpdateType.CHAT_MEMBER, UpdateType.MESSAGE_REACTION, UpdateType.MESSAGE_REACTION_COUNT})
"""Delivered only when they are named. Source: https://core.telegram.org/bots/api#getupdates"""


def allowed_updates(router: Router) -> list[str]:
    """Return the kinds to ask for; none named means the usual ones.

    >>> allowed_updates(Router())
    []
    """
    wanted = ON_REQUEST & set(router.resolve_used_update_types())
    return sorted({*UpdateType} - ON_REQUEST | wanted) if wanted else []
