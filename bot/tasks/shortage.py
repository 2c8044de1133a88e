"""Whether what a task uses is short now, so that its interval is stretched while it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tempogram.engine.model.clock import Clock
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.scheduler.task import Task
from tempogram.engine.services.breaker import BreakerState
from tempogram.engine.services.services import Services
from tempogram.engine.services.state import LimiterState

TELEGRAM = "telegram"
"""``uses={"telegram": 5}``: so many messages a run. Telegram has no count in a window that a plan could add up."""

BACKLOG_LONG = 1_000
"""Messages that wait, from which on the queue is short. untuned: one bot sends them in half a minute."""


class Shortage:
    """See the module.

    Args:
        stats: Counts the queue.
    """

    def __init__(self, services: Services, stats: Callable[[], Awaitable[QueueStats]], *, clock: Clock) -> None:
        self._services = services
        self._stats = stats
        self._clock = clock

    async def of(self, task: Task) -> bool:
        """Tell whether one of the things that a task uses is short for its next run.

        Raises:
            UnknownService: It uses what there is not.
            BrokerUnavailable: Redis is away.
        """
        for used, calls in task.uses.items():
            if await (self._is_queue_long() if used == TELEGRAM else self._is_short(used, calls)):
                return True
        return False

    async def _is_queue_long(self) -> bool:
        stats = await self._stats()
        return sum(stats.waiting.values()) + stats.retry >= BACKLOG_LONG

    async def _is_short(self, used: str, calls: int) -> bool:
        name, _, operation = used.partition(":")
        state = await self._services.state(name)
        limiters = state.limiters
        if operation:
            self._services.operation(name, operation)
            of = state.operations[operation]
            if of.breaker is BreakerState.OPEN:
                return True
            limiters += of.limiters[:1]
        return any(self._has_less(limiter, calls) for limiter in limiters)

    def _has_less(self, limiter: LimiterState, calls: int) -> bool:
        is_held = limiter.held_until_ms > self._clock()
        return is_held or (limiter.left is not None and limiter.left < min(calls, limiter.limit.count or calls))
