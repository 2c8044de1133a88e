"""Counts and lists the chats of a selection."""

from __future__ import annotations

from tempogram.api.core.counted import counted
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.schemas.selections import PreviewOut, SelectedPageOut, SelectionIn, SelectionPageIn
from tempogram.api.usecases.known_bots import check_bot


async def preview(dependencies: Dependencies, wanted: SelectionIn) -> PreviewOut:
    """Count who would be written to now, and who not and why; raises ``Refusal`` if there is no such bot."""
    await check_bot(dependencies.bots, wanted.bot)

    async def count() -> PreviewOut:
        now_ms = dependencies.clock()
        seen = await dependencies.audience.preview(wanted.selection, wanted.rules.rules, now_ms=now_ms)
        return PreviewOut.of(seen, now_ms)

    cache, asked = dependencies.services.cache, wanted.model_dump_json()
    return await counted(cache, "selection_preview", asked, count, PreviewOut)


async def page(dependencies: Dependencies, wanted: SelectionPageIn) -> SelectedPageOut:
    """Return some of those who would be written to now; raises ``Refusal`` if there is no such bot."""
    await check_bot(dependencies.bots, wanted.bot)
    found = await dependencies.audience.page(
        wanted.selection, wanted.rules.rules, now_ms=dependencies.clock(), after=wanted.after, limit=wanted.limit
    )
    return SelectedPageOut.of(found)
