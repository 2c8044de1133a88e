"""Who would get what, and nothing is claimed or sent."""

from __future__ import annotations

from tempogram.api.core.ports import DryRun, PlannedMessage, Refusal
from tempogram.bot.behaviours.reengagement.settings import CAMPAIGN, ReengagementSettings, parse
from tempogram.bot.behaviours.reengagement.writer import template_for
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.selection import Recipient
from tempogram.engine.ports.audience import Audience
from tempogram.storage.bots import RegisteredBot


class ReengagementDryRuns:
    """See ``api.core.ports.DryRuns``.

    Args:
        has_model: A language model writes the texts.
    """

    def __init__(self, audience: Audience, *, has_model: bool, clock: Clock) -> None:
        self._audience = audience
        self._has_model = has_model
        self._clock = clock

    async def of(self, bot: RegisteredBot, *, at_ms: int | None, after: str, limit: int) -> DryRun:
        """See ``DryRuns``."""
        if CAMPAIGN not in bot.behaviours:
            raise Refusal(f"bot {bot.bot_id} does not have the behaviour {CAMPAIGN}; PATCH /bots/{bot.bot_id} adds it")
        settings = parse(bot.behaviours[CAMPAIGN])
        selection, rules = settings.selection(bot.bot_id), settings.rules(at_any_time=at_ms is None)
        now_ms = self._clock() if at_ms is None else at_ms
        preview = await self._audience.preview(selection, rules, now_ms=now_ms)
        page = await self._audience.page(selection, rules, now_ms=now_ms, after=after, limit=limit)
        return DryRun(at_ms=now_ms, preview=preview, messages=[self._planned(each, settings) for each in page])

    def _planned(self, recipient: Recipient, settings: ReengagementSettings) -> PlannedMessage:
        return PlannedMessage(recipient, None if self._has_model else template_for(recipient, settings))
