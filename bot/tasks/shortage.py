"""Tells whether what a task uses is short now, so that its interval is stretched."""

from __future__ import annotations

from tempogram.engine.ports.broker import Broker
from tempogram.engine.scheduler.task import Task
from tempogram.engine.services.breaker import BreakerState
from tempogram.engine.services.errors import UnknownService
from tempogram.engine.services.services import Services
from tempogram.engine.services.state import LimiterState

QUEUE = "telegram"
"""As a name in ``uses``: messages of the task's own. No service may be called so."""

BACKLOG = 1_000
"""From so many waiting messages on the queue is short. untuned: one bot sends them in half a minute."""


class Shortage:
    """See the module."""

    def __init__(self, services: Services, broker: Broker) -> None:
        self._services = services
        self._broker = broker

    async def __call__(self, task: Task) -> bool:
        """Tell whether less is left of anything that the task uses than its next run takes.

        Raises:
            BrokerUnavailable: Redis is away.
        """
        for name, calls in task.uses.items():
            if name == QUEUE and await self._waiting() >= BACKLOG:
                return True
            if name != QUEUE and await self._is_short(name, calls):
                return True
        return False

    async def _waiting(self) -> int:
        stats = await self._broker.stats()
        return sum(stats.waiting.values()) + stats.retry

    async def _is_short(self, name: str, calls: int) -> bool:
        service, _, operation = name.partition(":")
        try:
            state = await self._services.state(service)
        except UnknownService:
            return False
        of_operation = state.operations.get(operation)
        if of_operation is None:
            return any(_lacks(each, calls) for each in state.limiters)
        is_open = of_operation.breaker is BreakerState.OPEN
        return is_open or any(_lacks(each, calls) for each in (*state.limiters, *of_operation.limiters))


def _lacks(limiter: LimiterState, calls: int) -> bool:
    return bool(limiter.held_until_ms or limiter.waiting) or (limiter.left is not None and limiter.left < calls)
