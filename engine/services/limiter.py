"""Awaits places for calls: the doors to the two queues of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from tempogram.engine.model.clock import Clock
from tempogram.engine.ports.call_uses import CallUses
from tempogram.engine.services.calls import Call, Limiter
from tempogram.engine.services.kept_uses import KeptUses
from tempogram.engine.services.memory_queue import MemoryCallQueue
from tempogram.engine.services.state import LimiterState, WaitingCall


class CallLimiter(Protocol):
    """Who may call now. A call passes several limiters at once, all or none."""

    async def begin(self, call: Call) -> None:
        """Return when the call has its places; ``end`` must follow. Cancelling takes it out of the queue."""

    def end(self, call: Call, used: Sequence[int] | None = None) -> None:
        """Give the places back; ``used`` says what it cost at each limiter, None: what was thought."""

    def change(self, limiter: Limiter) -> None:
        """Go by a newer version of a limit, if anything is known of the limiter; calls that wait do, too."""

    async def settled(self) -> None:
        """Wait until what was said before this holds for all processes, or is too long."""

    def hold(self, limiter: Limiter, until_ms: int, by: str) -> None:
        """Let nothing begin at a limiter before a time, in any process; 0 ends a hold."""

    def believe(self, limiter: Limiter, *, left: int, until_ms: int, of: int | None) -> None:
        """Take the service's word for what is left until a time, of a limit of ``of``."""

    def fails(self, limiter: Limiter, until_ms: int, probes: int) -> None:
        """Say that this process does not call it before a time; if two say so, none does, and then so many at once."""

    def well(self, limiter: Limiter) -> None:
        """Say that it is called again."""

    async def states(self, limiters: Sequence[Limiter]) -> list[LimiterState]:
        """Return what is seen of limiters, one for each, in their order; it changes nothing."""

    async def line(self, service: str, calls_max: int) -> list[WaitingCall]:
        """Return calls of a service that wait in any process, those that go first first."""

    async def explain(self, call_id: str) -> WaitingCall | None:
        """Return why a call of any process waits; None: it does not."""


class MemoryCallLimiter:
    """See ``CallLimiter``; for one process.

    Args:
        uses: Where long windows are kept; None: a restart forgets them.
    """

    def __init__(self, *, clock: Clock, uses: CallUses | None = None, after_start: bool = True) -> None:
        self._clock = clock
        self._queue = MemoryCallQueue(
            _wake, keeps_uses=uses is not None, started_at_ms=clock() if after_start else None
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = 0
        self._kept = KeptUses(uses, cover=self._cover, restore=self._restore)

    @property
    def waiting(self) -> int:
        return self._queue.waiting

    async def begin(self, call: Call) -> None:
        now_ms = self._clock()
        if self._queue.ask(now_ms, call):
            return
        call.call_id = str(call.arrival)
        waiter = call.waiter = asyncio.get_running_loop().create_future()
        self._go_on(now_ms)
        try:
            await waiter
        except asyncio.CancelledError:
            self._take_back(call)
            raise

    def end(self, call: Call, used: Sequence[int] | None = None) -> None:
        now_ms = self._clock()
        self._queue.end(now_ms, call, used)
        if self._queue.waiting:
            self._go_on(now_ms)

    def change(self, limiter: Limiter) -> None:
        now_ms = self._clock()
        self._queue.change(limiter, now_ms)
        self._go_on(now_ms)

    async def settled(self) -> None:
        """See ``CallLimiter``; it does at once."""

    def hold(self, limiter: Limiter, until_ms: int, by: str) -> None:
        now_ms = self._clock()
        if until_ms:
            self._queue.hold(limiter, now_ms, until_ms, by)
        else:
            self._queue.release_hold(limiter, now_ms)
        self._go_on(now_ms)

    def believe(self, limiter: Limiter, *, left: int, until_ms: int, of: int | None) -> None:
        now_ms = self._clock()
        self._queue.believe(limiter, now_ms, left=left, until_ms=until_ms, of=of)
        self._go_on(now_ms)

    async def states(self, limiters: Sequence[Limiter]) -> list[LimiterState]:
        now_ms = self._clock()
        return [self._queue.state(each, now_ms) for each in limiters]

    async def line(self, service: str, calls_max: int) -> list[WaitingCall]:
        return self._queue.line(self._clock(), lambda call: call.operation.startswith(f"{service}:"))[:calls_max]

    async def explain(self, call_id: str) -> WaitingCall | None:
        return next(iter(self._queue.line(self._clock(), lambda call: call.call_id == call_id)), None)

    def fails(self, limiter: Limiter, until_ms: int, probes: int) -> None:
        """There is no other process that could agree."""

    def well(self, limiter: Limiter) -> None:
        """See ``fails``."""

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._kept.close()

    def _take_back(self, call: Call) -> None:
        now_ms = self._clock()
        if call.began_at_ms < 0:
            self._queue.withdraw(now_ms, call)
        else:  # it could begin just as it was cancelled
            self._queue.end(now_ms, call, [0] * len(call.charges))
        self._go_on(now_ms)

    def _go_on(self, now_ms: int) -> None:
        """Do what the queue asks for next: look again at a time, or write to the database."""
        self._queue.look(now_ms)
        for name, units in self._queue.wants(now_ms):
            self._kept.want(name, units, now_ms=now_ms, window_ms=self._queue.window_ms(name))
        next_ms = self._queue.look(now_ms)  # again: what is not wanted yet is looked at later
        if next_ms is not None and (self._timer is None or next_ms < self._timer_at_ms):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at_ms = next_ms
            self._timer = asyncio.get_running_loop().call_later((next_ms - now_ms) / 1_000, self._look)

    def _look(self) -> None:
        self._timer = None
        self._go_on(self._clock())

    def _cover(self, name: str, units: int) -> None:
        now_ms = self._clock()
        self._queue.cover(name, now_ms, units)
        self._go_on(now_ms)

    def _restore(self, name: str, uses: Sequence[tuple[int, int]]) -> None:
        now_ms = self._clock()
        self._queue.restore(name, now_ms, uses)
        self._go_on(now_ms)


def _wake(call: Call) -> None:
    if call.waiter is not None and not call.waiter.done():
        call.waiter.set_result(None)
