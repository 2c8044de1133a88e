"""The loop that leases messages for free connections and sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from tempogram.engine.closing.closer import Closer
from tempogram.engine.limits.pool import Connections, Pool
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.ports import Broker, Clock, Leased
from tempogram.engine.resilience.circuit_breaker import Permit
from tempogram.engine.resilience.retry import Sleep
from tempogram.engine.sending.attempt import Answered
from tempogram.engine.sending.delivery import Delivery
from tempogram.engine.sending.heartbeat import Heartbeat
from tempogram.engine.sending.held_lease import HeldLease
from tempogram.engine.sending.slots import Slots

log = structlog.get_logger()

PAUSE_AFTER_ERROR_MS = 1_000
"""Pause after an error of the broker. untuned: a second without leases after an outage is not noticed."""

UNRECORDED_MAX = 1_000
"""Outcomes of one process that may wait to be recorded; then it leases nothing more.

After a crash at most these are sent twice, and those that are being sent. untuned: some KB each, some seconds' sending.
"""

EXPIRED_UNRECORDED_MAX = 500
"""Expired messages that may wait to be recorded; then this process leases nothing more until some are, or for a second.

So a backlog that expires at once shares the ledger with what is sent. untuned: two transactions, some 20 ms.
"""

CONCLUDE_S = 5.0
"""How long at the end an outcome may take to be written. untuned: leases that are left expire and are recovered."""

Wait = Callable[[], Awaitable[None]]


class Worker:
    """Sends with ``slots`` connections, and sleeps until the exact time at which it can go on.

    There are never more calls than connections: a lease that waits for a connection takes places in the windows from
    messages that could go. A connection is free again when Telegram has answered; the lease is kept until the answer
    is recorded. The bots share the connections, so that those whose calls hang leave some to the others (see ``Pool``).

    Args:
        is_source: See ``HeldLease``.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        delivery: Delivery,
        closer: Closer,
        worker_id: str,
        slots: int,
        lease_ms: int,
        clock: Clock,
        is_source: Callable[[], bool] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.worker_id = worker_id
        self._broker = broker
        self._delivery = delivery
        self._circuit_breaker = delivery.circuit_breaker
        self._closer = closer
        self._pool = Pool(slots)
        self._free = slots  # neither a call has them nor a question to the broker
        self._lease_ms = lease_ms
        self._clock = clock
        self._is_source = is_source
        self._sleep = sleep
        self._heartbeat = Heartbeat(broker=broker, lease_ms=lease_ms, clock=clock, sleep=sleep)
        self._calls: dict[HeldLease, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_room = asyncio.Event()
        self._nap: asyncio.Future[None] | None = None
        self._stopping = False
        self._is_cutting_off = False
        self._unrecorded: set[HeldLease] = set()
        self._expired_unrecorded = 0

    @property
    def unrecorded(self) -> int:
        """How many calls have been answered and are not recorded and settled yet."""
        return len(self._unrecorded)

    def reserved(self, slots_max: int) -> Slots:
        """Set at most ``slots_max`` free connections aside for a ``with`` block; never call it without one."""
        is_full = self._stopping or self.unrecorded >= UNRECORDED_MAX
        permit = self._circuit_breaker.ask(0 if is_full else min(self._free, slots_max))
        connections = Connections(self._pool, self._free, self._clock())
        self._free -= permit.calls
        return Slots(permit.calls, partial(self._accept, permit, connections.at_ms), connections, permit.again_at_ms)

    def _accept(self, permit: Permit, asked_at_ms: int, leased: Leased) -> None:
        """Send what was leased, and record what expired, each in a task of its own; give back the other slots."""
        if not leased.leases:
            self._circuit_breaker.give_back(permit)
        self._give_back(permit.calls - len(leased.leases))
        for lease in leased.leases:
            # Held from the question on, at least: a frozen process would take a late answer for a fresh one.
            held = HeldLease(lease, asked_at_ms + self._lease_ms, self._clock, self._is_source)
            held.is_cut_off = self._is_cutting_off
            self._pool.begin(lease.message.bot_id, held, 1, self._clock())
            self._heartbeat.take(held)
            self._calls[held] = self._start(self._deliver(held, permit))
        if leased.expired:
            self._start(self._record_expired(leased.expired))

    async def _record_expired(self, expired: Sequence[Outgoing]) -> None:
        self._expired_unrecorded += len(expired)
        try:
            await self._closer.record_expired(expired)
        finally:
            self._expired_unrecorded -= len(expired)
            self._has_room.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def run(self) -> None:
        """Work until ``stop``; deliveries under way then are finished."""
        beating = asyncio.create_task(self._heartbeat.run())
        try:
            while not self._stopping:
                await self._rest(await self._work())
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            beating.cancel()

    def stop(self) -> None:
        """Lease nothing more."""
        self._stopping = True
        if self._nap is not None:
            self._nap.cancel()

    async def finish(self, *, within_s: float, conclude_s: float = CONCLUDE_S) -> None:
        """Lease nothing more, let calls end within a time, and give back the other leases.

        A call that was not made goes back as it was. One that was made and has no answer is uncertain. Both are
        recorded and settled, so that nothing stays leased; what the ledger refuses for ``conclude_s`` is left.
        """
        self.stop()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    while self._calls:
                        self._has_room.clear()
                        await self._has_room.wait()
            await self._cut_off()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=conclude_s)
            if self._tasks:
                log.warning("outcomes_left_unrecorded", count=len(self._tasks))
        finally:
            for task in self._tasks:
                task.cancel()

    async def _cut_off(self) -> None:
        self._is_cutting_off = True
        held_now = list(self._calls)
        for held in held_now:
            held.is_cut_off = True
        await asyncio.sleep(0)  # so that each has begun: a task that is cancelled before never runs
        for held in held_now:
            if held in self._calls:
                self._calls[held].cancel()

    async def _work(self) -> Wait:
        """Lease what may go, and return what to wait for until more may."""
        self._has_room.clear()  # first, so that nothing that ends from now on is missed
        if self._expired_unrecorded >= EXPIRED_UNRECORDED_MAX:
            return self._room_or_pause
        with self.reserved(self._free) as slots:
            if not slots.count:
                return self._room_after(slots)
            try:
                slots.leased = await self._broker.lease(
                    worker_id=self.worker_id, slots=slots.count, connections=slots.connections
                )
            except BrokerUnavailable:
                return self._pause  # reported as a condition, by the broker that knows why
            except Exception:
                log.exception("lease_call_failed", worker_id=self.worker_id)
                return self._pause
            has_room = self._has_room.is_set()
        if not has_room:
            self._has_room.clear()  # what this question gives back is no room that it has not seen
        if not self._free:
            return self._room
        wait = self._room_or_wake if slots.leased.is_kept_back else self._broker.wait
        return partial(wait, slots.leased.wake_at_ms)

    def _room_after(self, slots: Slots) -> Wait:
        """Wait for a call or a record to end, or for the time at which the circuit breaker permits a trial."""
        if slots.again_at_ms is None:
            return self._room
        return partial(self._sleep, max(0, slots.again_at_ms - self._clock()) / 1_000)

    async def _rest(self, wait: Wait) -> None:
        """Sleep until there is a slot and something to send with it; a wait that fails is followed by a pause."""
        error = await self._sleep_through(wait)
        if error is None:
            return
        if not isinstance(error, BrokerUnavailable):
            log.error("queue_wait_failed", worker_id=self.worker_id, exc_info=error)
        await self._sleep_through(self._pause)

    async def _sleep_through(self, wait: Wait) -> BaseException | None:
        if self._stopping:
            return None
        self._nap = asyncio.ensure_future(wait())
        # Waited for, not awaited: ``stop`` cancels the nap, which is none of this loop's own cancellation.
        try:
            await asyncio.wait([self._nap])
        finally:
            self._nap.cancel()
        return None if self._nap.cancelled() else self._nap.exception()

    async def _room(self) -> None:
        await self._has_room.wait()

    async def _room_or_wake(self, wake_at_ms: int | None) -> None:
        """Wait for a connection, as those that are free are left to other bots, or until the broker may have more."""
        times = [at_ms for at_ms in (wake_at_ms, self._pool.changes_at_ms(self._clock())) if at_ms is not None]
        waits = asyncio.create_task(self._broker.wait(min(times, default=None))), asyncio.create_task(self._room())
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        for wait in done:
            wait.result()

    async def _room_or_pause(self) -> None:
        room, pause = asyncio.ensure_future(self._room()), asyncio.ensure_future(self._pause())
        try:
            await asyncio.wait([room, pause], return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
            pause.cancel()

    async def _pause(self) -> None:
        await self._sleep(PAUSE_AFTER_ERROR_MS / 1_000)

    async def _deliver(self, held: HeldLease, permit: Permit) -> None:
        try:
            await self._delivery.deliver(held, on_answer=partial(self._end_call, held, permit))
        except Exception:
            # Nothing is settled: the lease runs out, and the recoverer decides.
            log.exception("delivery_failed", message_id=held.lease.message.id)
        finally:
            self._end(held)

    def _end_call(self, held: HeldLease, permit: Permit, answered: Answered | None) -> None:
        """Give the connection back; the lease is kept until the answer is recorded."""
        del self._calls[held]
        message, is_alive = held.lease.message, None if answered is None else answered.is_alive
        self._circuit_breaker.end(permit, message.bot_id, message.chat_id, is_alive=is_alive)
        self._pool.end(message.bot_id, held, 1, self._clock())
        self._give_back(1)
        if answered is not None:
            self._unrecorded.add(held)

    def _end(self, held: HeldLease) -> None:
        if len(self._unrecorded) >= UNRECORDED_MAX:
            self._has_room.set()
        self._unrecorded.discard(held)
        self._heartbeat.let_go(held)

    def _give_back(self, slots: int) -> None:
        self._free += slots
        if slots:
            self._has_room.set()
