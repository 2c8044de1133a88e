"""Finds what was sent and received: by Telegram's number, of a chat, and of a bot by time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.routes.bots import BotPath
from tempogram.api.schemas.fields import SEND_AT_S_MAX, BotId, ChatField, MessageId, QueryTimeMs
from tempogram.api.schemas.history import (
    ChatHistoryOut,
    FoundOut,
    HistoryOut,
    IncomingCursor,
    IncomingOut,
    TelegramNumber,
    cursor_of,
    read_cursor,
)
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.bounds import BoundsOf
from tempogram.api.security.principals import Role
from tempogram.engine.model.errors import LedgerError

PAGE_MAX = 1_000

router = APIRouter(tags=["history"], route_class=GuardedRoute)

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


@router.get(
    "/messages",
    dependencies=[requires(Role.VIEWER, is_bounded=True)],
    responses=error_responses(Refusal, Invalid, LedgerError),
)
async def find(
    dependencies: DependenciesOf,
    bounds: BoundsOf,
    chat_id: ChatField,
    telegram_message_id: TelegramNumber,
    bot: BotId | None = None,
) -> FoundOut:
    """Find messages by Telegram's number in their chat: which of ours did a user answer?

    With ``bot`` what that bot sent, also under the other name of a public chat. Without, what any bot sent or received
    in a group or channel, under this ``chat_id``: each bot has a message of its own for what was received. An album is
    found by the number of any of its items.
    """
    if bot is not None:
        bounds.check(bot)
    if bot is None and isinstance(chat_id, int) and chat_id > 0:
        raise Refusal("bot is missing: in a private chat each bot has its own numbers")
    found = await dependencies.history.of_number(chat_id, telegram_message_id, bot_id=bot)
    return FoundOut(messages=[HistoryOut.of(each) for each in found if bounds.has(each.bot_id)])


@router.get(
    "/bots/{bot_id}/messages", dependencies=[requires(Role.VIEWER)], responses=error_responses(Invalid, LedgerError)
)
async def show_chat(
    bot_id: BotPath,
    dependencies: DependenciesOf,
    chat_id: ChatField,
    before: MessageId | None = None,
    limit: Limit = 100,
) -> ChatHistoryOut:
    """List what a bot sent to and received from a chat, newest first, without calls that show no message.

    Continue with ``before`` = the ``next_before`` of the last page.
    """
    page = await dependencies.history.of_chat(bot_id, chat_id, before_id=before, limit=limit)
    last = page[-1].id if len(page) == limit else None
    return ChatHistoryOut(messages=[HistoryOut.of(each) for each in page], next_before=last)


@router.get(
    "/bots/{bot_id}/incoming", dependencies=[requires(Role.VIEWER)], responses=error_responses(Invalid, LedgerError)
)
async def show_incoming(
    bot_id: BotPath,
    dependencies: DependenciesOf,
    since: QueryTimeMs = 0,
    until: QueryTimeMs = SEND_AT_S_MAX * 1_000,
    after: IncomingCursor | None = None,
    limit: Limit = 100,
) -> IncomingOut:
    """List what a bot received from ``since`` and before ``until``, oldest first.

    Continue with ``after`` = the ``next_after`` of the last page.
    """
    page = await dependencies.history.incoming(
        bot_id, since_ms=since, until_ms=until, after=read_cursor(after), limit=limit
    )
    last = cursor_of(page[-1]) if len(page) == limit else None
    return IncomingOut(messages=[HistoryOut.of(each) for each in page], next_after=last)
