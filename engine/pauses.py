"""A bot that was paused because its token was revoked goes on with a valid one."""

from __future__ import annotations

import structlog

from engine.messages import PausedBy
from engine.ports import Broker, Ledger

log = structlog.get_logger()


async def end_of_token(ledger: Ledger, broker: Broker, bot_id: int) -> None:
    """Let a bot send again, unless an operator has paused it: its token is valid."""
    if await ledger.pause(bot_id, paused=False, by=PausedBy.TOKEN):
        await broker.pause(bot_id, paused=False)
        log.info("resumed with a valid token", bot_id=bot_id)
