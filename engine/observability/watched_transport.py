"""Notifies a watcher of each call; put around the transport only where there is one."""

from __future__ import annotations

from tempogram.engine.model.messages import Lease
from tempogram.engine.model.outcomes import Answer
from tempogram.engine.ports import Clock, MayWrite, Transport
from tempogram.engine.ports.watcher import Watcher


class WatchedTransport:
    """See ``Transport``."""

    def __init__(self, transport: Transport, watcher: Watcher, clock: Clock) -> None:
        self._transport = transport
        self._watcher = watcher
        self._clock = clock

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        started_at_ms = self._clock()
        answer = await self._transport.send(lease, may_write)
        self._watcher.answered(lease, answer.outcome, took_ms=self._clock() - started_at_ms)
        return answer
