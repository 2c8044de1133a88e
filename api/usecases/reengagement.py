"""Shows whom a bot would re-engage."""

from __future__ import annotations

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NotFound
from tempogram.api.schemas.reengagement import DryRunOut

PAGE_MAX = 1_000


async def dry_run(dependencies: Dependencies, bot_id: int, *, at_ms: int | None, after: str, limit: int) -> DryRunOut:
    """Return who would get what; raises ``Refusal`` if the bot does not have the behaviour."""
    bot = await dependencies.bots.get(bot_id)
    if bot is None:
        raise NotFound(f"there is no bot {bot_id}")
    return DryRunOut.of(await dependencies.dry_runs.of(bot, at_ms=at_ms, after=after, limit=limit))
