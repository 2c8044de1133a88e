"""Shows whom a bot would re-engage."""

from __future__ import annotations

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.schemas.reengagement import DryRunOut
from tempogram.api.usecases.known_bots import bot_of_path

PAGE_MAX = 1_000


async def dry_run(dependencies: Dependencies, bot_id: int, *, at_ms: int | None, after: str, limit: int) -> DryRunOut:
    """Return who would get what; raises ``Refusal`` if the bot does not have the behaviour."""
    bot = await bot_of_path(dependencies.bots, bot_id)
    return DryRunOut.of(await dependencies.dry_runs.of(bot, at_ms=at_ms, after=after, limit=limit))
