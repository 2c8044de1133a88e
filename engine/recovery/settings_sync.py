"""Has the schedule heed what the books say of bots and limits.

Whoever changes the books tells the schedule at once. If it is away, or he ends in between, its keeper tells it: he
compares what the books say with what he told last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports import Broker, Ledger

log = structlog.get_logger()


async def pause(broker: Broker, bot_id: int, *, paused: bool) -> None:
    try:
        await broker.pause(bot_id, paused=paused)
    except BrokerUnavailable as error:
        log.debug("in the books alone", bot_id=bot_id, paused=paused, error=str(error))


async def weigh(broker: Broker, bot_id: int, weight: int) -> None:
    try:
        await broker.weigh(bot_id, weight)
    except BrokerUnavailable as error:
        log.debug("in the books alone", bot_id=bot_id, weight=weight, error=str(error))


async def configure(broker: Broker, limits: Limits) -> None:
    try:
        await broker.configure(limits)
    except BrokerUnavailable as error:
        log.debug("in the books alone", limits=limits, error=str(error))


class SettingsSync:
    """What a schedule was told last; at first, and after ``forget``, nothing."""

    def __init__(self, ledger: Ledger, limits: Callable[[], Awaitable[Limits]]) -> None:
        self._ledger = ledger
        self._read_limits = limits
        self.forget()

    def forget(self) -> None:
        """Tell everything at the next opportunity: it is another schedule."""
        self._paused: set[int] = set()
        self._weights: dict[int, int] = {}
        self._limits: Limits | None = None

    async def tell(self, schedule: Broker, act_by: Callable[[Limits], Awaitable[bool]]) -> None:
        """Tell a schedule what has changed in the books since the last time.

        Raises:
            LedgerError: Nothing was told.
            BrokerUnavailable: Some was not told; it is the next time.
        """
        paused, weights = set(await self._ledger.paused_bots()), dict(await self._ledger.weights())
        limits = await self._read_limits()
        for bot_id in paused ^ self._paused:
            await schedule.pause(bot_id, paused=bot_id in paused)
        for bot_id in weights.keys() | self._weights.keys():
            if weights.get(bot_id, 1) != self._weights.get(bot_id, 1):
                await schedule.weigh(bot_id, weights.get(bot_id, 1))
        self._paused, self._weights = paused, weights
        if limits != self._limits and await act_by(limits):
            log.info("other limits are in force", limits=limits)
        self._limits = limits
