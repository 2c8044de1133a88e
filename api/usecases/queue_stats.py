"""Counts the queue."""

from __future__ import annotations

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.schemas.broadcasts import RunningBroadcastsOut
from tempogram.api.schemas.queue import LaneCounts, QueueStatsOut, WatchStatsOut
from tempogram.engine.model.messages import Priority


async def counted(dependencies: Dependencies) -> QueueStatsOut:
    """Count open messages, each once, and dead letters; and what is watched."""
    counts = await dependencies.broker.stats()
    dead = await dependencies.history.dead_count()
    waiting = {priority.value: counts.waiting.get(priority, 0) for priority in Priority}
    return QueueStatsOut(
        stats=LaneCounts(**waiting, retry=counts.retry, dlq=dead),
        total_queued=sum(waiting.values()) + counts.retry,
        total_failed=dead,
        watches=await _watches(dependencies),
        broadcasts=RunningBroadcastsOut.of(await dependencies.broadcasts.totals()),
    )


async def _watches(dependencies: Dependencies) -> WatchStatsOut | None:
    watches = dependencies.watches
    return None if watches is None else WatchStatsOut.of(await watches.recent_counts())
