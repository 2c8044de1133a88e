"""Lists chats, shows and changes what is known of them, and imports it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import BodyTooSlow, Invalid, Malformed, NotFound, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.http.lines import lines_of
from tempogram.api.routes.bots import BotPath
from tempogram.api.schemas.chats import PAGE_MAX, ChatChange, ChatCursor, ChatOut, ChatsOut, ImportedOut
from tempogram.api.schemas.fields import ChatField, Tag
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases import chats
from tempogram.api.usecases.chat_import import CSV, JSON_LINES, ChatImport
from tempogram.api.usecases.known_bots import bot_of_path
from tempogram.engine.model.errors import LedgerError


class ImportRoute(GuardedRoute):
    """Leaves the body to the endpoint, which reads it line by line."""

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Read nothing yet."""
        yield request


router = APIRouter(tags=["chats"], route_class=GuardedRoute)
imports = APIRouter(tags=["chats"], route_class=ImportRoute)

IMPORT_PATH = re.compile(r"/bots/[^/]+/chats/import")

ChatPath = Annotated[ChatField, Path()]

LINES_SCHEMA = {
    CSV: {"schema": {"type": "string"}, "example": "chat_id,time_zone,tags\n7,Europe/Berlin,vip;chess\n"},
    JSON_LINES[0]: {"schema": {"type": "string"}, "example": '{"chat_id": 7, "time_zone": "Europe/Berlin"}\n'},
}


@imports.post(
    "/bots/{bot_id}/chats/import",
    dependencies=[requires(Role.OPERATOR)],
    responses=error_responses(Malformed, Refusal, NotFound, BodyTooSlow, TooLarge, Invalid, LedgerError),
    openapi_extra={"requestBody": {"required": True, "content": LINES_SCHEMA}},
)
async def import_chats(request: Request, bot_id: BotPath, dependencies: DependenciesOf) -> ImportedOut:
    """Store what is known of chats: CSV with a header, or a JSON object on each line; up to 10,000 lines.

    What a line leaves out stays. A wrong line is named and not stored; the others are. The same again changes nothing.
    """
    await bot_of_path(dependencies.bots, bot_id)
    content_type = request.headers.get("content-type", "")
    return await ChatImport(dependencies, bot_id).run(lines_of(request.stream()), content_type)


@router.get(
    "/bots/{bot_id}/chats",
    dependencies=[requires(Role.VIEWER)],
    responses=error_responses(NotFound, Invalid, LedgerError),
)
async def show_all(
    bot_id: BotPath,
    dependencies: DependenciesOf,
    after: ChatCursor | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    tag: Annotated[Tag | None, Query()] = None,
) -> ChatsOut:
    """List the chats of a bot, or those that have a tag; continue with ``after`` = the ``next_after`` of a page."""
    return await chats.page(dependencies, bot_id, after=after or "", limit=limit, tag=tag)


@router.get(
    "/bots/{bot_id}/chats/{chat_id}",
    dependencies=[requires(Role.VIEWER)],
    responses=error_responses(NotFound, Invalid, LedgerError),
)
async def show(bot_id: BotPath, chat_id: ChatPath, dependencies: DependenciesOf) -> ChatOut:
    """Show what is known of a chat."""
    return await chats.show(dependencies, bot_id, chat_id)


@router.patch(
    "/bots/{bot_id}/chats/{chat_id}",
    dependencies=[requires(Role.OPERATOR)],
    responses=error_responses(Malformed, NotFound, TooLarge, Invalid, LedgerError),
)
async def change(bot_id: BotPath, chat_id: ChatPath, wanted: ChatChange, dependencies: DependenciesOf) -> ChatOut:
    """Change what is known of a chat, also of one that is not known yet. What is left out stays; null deletes."""
    return await chats.change(dependencies, bot_id, chat_id, wanted)
