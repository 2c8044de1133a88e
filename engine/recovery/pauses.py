"""A bot that was added sends again: one that was removed, or paused because its token was revoked."""

from __future__ import annotations

import structlog

from tempogram.engine.model.messages import PausedBy
from tempogram.engine.ports import Broker, Ledger
from tempogram.engine.recovery import settings_sync

log = structlog.get_logger()


async def end_of_pause(ledger: Ledger, broker: Broker, bot_id: int) -> None:
    """Let a bot send again, unless an operator has paused it: its token is a new one, or was found valid."""
    if await ledger.pause(bot_id, paused=False, by=PausedBy.TOKEN):
        log.info("resumed with a valid token", bot_id=bot_id)
    await settings_sync.pause(broker, bot_id, paused=bot_id in await ledger.paused_bots())
