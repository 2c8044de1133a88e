"""Applies pauses, weights and limits from the ledger to the queue.

A process that changes one in the ledger applies it to the queue at once. If the queue is away, or the process ends in
between, the leader does it: it compares the ledger with what it applied last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import PausedBy
from tempogram.engine.ports import Broker, Clock, Ledger

log = structlog.get_logger()

APPLY_EVERY_MS = 10_000
"""Between two comparisons while all processes reach the queue. untuned: each is three queries, and finds only what a
process that ended has not applied itself."""


async def pause(broker: Broker, bot_id: int, *, paused: bool) -> None:
    """Apply a pause that is in the ledger, or its end."""
    try:
        await broker.pause(bot_id, paused=paused)
    except BrokerUnavailable as error:
        log.debug("setting_not_applied", bot_id=bot_id, paused=paused, error=str(error))


async def weigh(broker: Broker, bot_id: int, weight: int) -> None:
    """Apply a weight that is in the ledger."""
    try:
        await broker.weigh(bot_id, weight)
    except BrokerUnavailable as error:
        log.debug("setting_not_applied", bot_id=bot_id, weight=weight, error=str(error))


async def configure(broker: Broker, limits: Limits) -> None:
    """Apply limits that are in the ledger."""
    try:
        await broker.configure(limits)
    except BrokerUnavailable as error:
        log.debug("setting_not_applied", limits=limits, error=str(error))


async def record_revoked_token(ledger: Ledger, bot_id: int) -> None:
    """Record the pause of a bot whose token Telegram refused; the first time, raise an alert."""
    if await ledger.pause(bot_id, paused=True, by=PausedBy.TOKEN):
        log.error("alert", kind="token_revoked", bot_id=bot_id, way_out="give the bot a valid token")


async def pause_without_token(ledger: Ledger, broker: Broker, bot_id: int) -> None:
    """Let a bot send nothing whose token Telegram refused, until it has a valid one."""
    await record_revoked_token(ledger, bot_id)
    await pause(broker, bot_id, paused=bot_id in await ledger.paused_bots())


async def pause_unreadable_token(ledger: Ledger, broker: Broker, bot_id: int) -> None:
    """Let a bot send nothing whose stored token cannot be read, until it has another one."""
    await ledger.pause(bot_id, paused=True, by=PausedBy.TOKEN)
    await pause(broker, bot_id, paused=bot_id in await ledger.paused_bots())


async def resume_with_token(ledger: Ledger, broker: Broker, bot_id: int) -> None:
    """Let a bot send again whose token is new or was found valid, unless an operator has paused it."""
    if await ledger.pause(bot_id, paused=False, by=PausedBy.TOKEN):
        log.info("bot_resumed", bot_id=bot_id, reason="its token is valid")
    await pause(broker, bot_id, paused=bot_id in await ledger.paused_bots())


class SettingsSync:
    """What was applied to the queue last; at first, and after ``forget``, nothing."""

    def __init__(self, ledger: Ledger, limits: Callable[[], Awaitable[Limits]], clock: Clock) -> None:
        self._ledger = ledger
        self._read_limits = limits
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Apply everything the next time: it is another queue."""
        self._paused: set[int] = set()
        self._weights: dict[int, int] = {}
        self._limits: Limits | None = None
        self._applied_at_ms: int | None = None

    def hurry(self) -> None:
        """Compare the next time, however long ago the last was: a process may not have reached the queue."""
        self._applied_at_ms = None

    async def apply(self, broker: Broker, enforce: Callable[[Limits], Awaitable[bool]], *, every_ms: int = 0) -> None:
        """Apply what has changed in the ledger since the last time, if that is ``every_ms`` ago.

        Raises:
            LedgerError: Nothing was applied.
            BrokerUnavailable: Some was not applied; it is the next time.
        """
        if self._applied_at_ms is not None and self._clock() - self._applied_at_ms < every_ms:
            return
        paused, weights = set(await self._ledger.paused_bots()), dict(await self._ledger.weights())
        limits = await self._read_limits()
        for bot_id in paused ^ self._paused:
            await broker.pause(bot_id, paused=bot_id in paused)
        for bot_id in weights.keys() | self._weights.keys():
            if weights.get(bot_id, 1) != self._weights.get(bot_id, 1):
                await broker.weigh(bot_id, weights.get(bot_id, 1))
        self._paused, self._weights = paused, weights
        if limits != self._limits and await enforce(limits):
            log.info("limits_applied", limits=limits)
        self._limits, self._applied_at_ms = limits, self._clock()
