"""Counts and lists the chats of a selection."""

from __future__ import annotations

from typing import Any

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.schemas.selections import PreviewOut, SelectedPageOut, SelectionIn, SelectionPageIn
from tempogram.api.usecases.known_bots import unknown_bot


async def preview(dependencies: Dependencies, wanted: SelectionIn) -> dict[str, Any]:
    """Count who would be written to now, and who not and why; raises ``Refusal`` if there is no such bot."""
    await _check_bot(dependencies, wanted.bot)
    now_ms = dependencies.clock()
    counted = await dependencies.audience.preview(wanted.selection, wanted.rules.rules, now_ms=now_ms)
    return PreviewOut.of(counted, now_ms)


async def page(dependencies: Dependencies, wanted: SelectionPageIn) -> dict[str, Any]:
    """Return some of those who would be written to now; raises ``Refusal`` if there is no such bot."""
    await _check_bot(dependencies, wanted.bot)
    found = await dependencies.audience.page(
        wanted.selection, wanted.rules.rules, now_ms=dependencies.clock(), after=wanted.after, limit=wanted.limit
    )
    return SelectedPageOut.of(found)


async def _check_bot(dependencies: Dependencies, bot_id: int) -> None:
    if not await dependencies.bots.among([bot_id]):
        raise unknown_bot(bot_id)
