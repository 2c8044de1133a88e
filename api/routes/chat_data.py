"""Hands over what is kept of a chat, and erases it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, NotFound, error_responses
from tempogram.api.routes.bots import BotPath
from tempogram.api.schemas.chats import ErasedOut, ErasureOut, LiftedOut
from tempogram.api.schemas.fields import ChatField, time_of
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases.known_bots import bot_of_path
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.storage.privacy.export import Row

router = APIRouter(tags=["chats"], route_class=GuardedRoute)

ChatPath = Annotated[ChatField, Path()]

PATH = "/bots/{bot_id}/chats/{chat_id}"
ADMIN_RECENTLY = [requires(Role.ADMIN, is_recent=True)]
JSON_LINES = "application/x-ndjson"


@router.get(
    f"{PATH}/export",
    dependencies=ADMIN_RECENTLY,
    response_class=Response,
    responses=error_responses(NotFound, Invalid, LedgerError)
    | {200: {"description": "A JSON object on each line.", "content": {JSON_LINES: {"schema": {"type": "string"}}}}},
)
async def export(bot_id: BotPath, chat_id: ChatPath, dependencies: DependenciesOf) -> Response:
    """Hand over everything that the database has of a chat, one JSON object on each line, with its ``table``.

    The last line is ``{"end": true, "rows": …}``; where it is missing, something was cut off.
    """
    await bot_of_path(dependencies.bots, bot_id)
    rows = dependencies.export.rows(bot_id, chat_id)
    first = await anext(rows, None)  # before the answer begins, so that a database that is away is a 503
    return StreamingResponse(_lines(first, rows), media_type=JSON_LINES)


@router.delete(
    PATH,
    dependencies=ADMIN_RECENTLY,
    responses=error_responses(NotFound, Invalid, LedgerError, BrokerUnavailable),
)
async def erase(bot_id: BotPath, chat_id: ChatPath, dependencies: DependenciesOf) -> ErasureOut:
    """Erase a chat: what waits for it is cancelled, what is kept of it deleted, and it is not written to any more.

    It is written to again once the person writes to the bot, or by ``DELETE …/erasure``.
    """
    await bot_of_path(dependencies.bots, bot_id)
    erased = await dependencies.eraser.erase(bot_id, chat_id)
    note(before={"rows": sum(erased.rows.values())}, after={"left": erased.left})
    return ErasureOut(erased=dict(erased.rows), left=erased.left)


@router.get(
    f"{PATH}/erasure", dependencies=[requires(Role.ADMIN)], responses=error_responses(NotFound, Invalid, LedgerError)
)
async def show_erasure(bot_id: BotPath, chat_id: ChatPath, dependencies: DependenciesOf) -> ErasedOut:
    """Tell when a chat was erased; 404: it was not, or is written to again."""
    erased_at = time_of(await dependencies.eraser.erased_at_ms(bot_id, chat_id))
    if erased_at is None:
        raise NotFound(f"chat {chat_id} of bot {bot_id} is not erased")
    return ErasedOut(erased_at=erased_at)


@router.delete(f"{PATH}/erasure", dependencies=ADMIN_RECENTLY, responses=error_responses(Invalid, LedgerError))
async def lift(bot_id: BotPath, chat_id: ChatPath, dependencies: DependenciesOf) -> LiftedOut:
    """Let a chat be written to again that was erased."""
    return LiftedOut(lifted=await dependencies.eraser.lift(bot_id, chat_id))


async def _lines(first: Row | None, rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    count, row = 0, first
    while row is not None:
        count += 1
        yield msgspec.json.encode(row) + b"\n"
        row = await anext(rows, None)
    yield msgspec.json.encode({"end": True, "rows": count}) + b"\n"
