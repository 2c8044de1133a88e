"""Has the schedule heed what the books say of a bot. One that is away hears it from its keeper (see ``keeper``)."""

from __future__ import annotations

import structlog

from engine.errors import BrokerUnavailable
from engine.ports import Broker

log = structlog.get_logger()


async def pause(broker: Broker, bot_id: int, *, paused: bool) -> None:
    try:
        await broker.pause(bot_id, paused=paused)
    except BrokerUnavailable as error:
        log.warning("in the books alone", bot_id=bot_id, paused=paused, error=str(error))


async def weigh(broker: Broker, bot_id: int, weight: int) -> None:
    try:
        await broker.weigh(bot_id, weight)
    except BrokerUnavailable as error:
        log.warning("in the books alone", bot_id=bot_id, weight=weight, error=str(error))
