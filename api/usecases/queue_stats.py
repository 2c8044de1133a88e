"""Counts the queue."""

from __future__ import annotations

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.schemas.queue import LaneCounts, QueueStatsOut
from tempogram.engine.model.messages import Priority


async def counted(dependencies: Dependencies) -> QueueStatsOut:
    """Count open messages, each once, and dead letters."""
    counts = await dependencies.broker.stats()
    dead = await dependencies.history.dead_count()
    waiting = {priority.value: counts.waiting.get(priority, 0) for priority in Priority}
    return QueueStatsOut(
        stats=LaneCounts(**waiting, retry=counts.retry, dlq=dead),
        total_queued=sum(waiting.values()) + counts.retry,
        total_failed=dead,
    )
