"""What the leader does while leases come from its own memory: it keeps a queue that stands in for the one in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from tempogram.engine.failover.catch_up import CatchUp
from tempogram.engine.failover.epoch_watcher import WATCH_S, EpochWatcher
from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.failover.leader_election import LeaderLock
from tempogram.engine.failover.redis_mode import Rebuild
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable, QueueLost
from tempogram.engine.ports import NO_SCHEMA, Broker, Clock, Epoch, LeaseSource, Ledger
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.recovery.rebuild import OtherProcesses
from tempogram.engine.recovery.settings_sync import SettingsSync
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

BACK_MS = 2_000
"""How long Redis must have answered before it is trusted again. untuned: a server that is starting has answered by
then, or failed."""

MARGIN_MS = 1_000
"""Added to how long leases may last, as no two clocks run at quite the same pace. untuned: far more than they differ in
that time."""

CALLS_CHECK_S = 0.05
"""Between two checks whether the calls of this process have ended."""


class StandaloneMode:
    """See the table in ``leader``: silence, standalone mode, handing back.

    Args:
        memory: Makes an empty broker.
        has_rivals: Other processes share the ledger, and may hold leases. If not, nothing is waited for but the calls
            of this process.
    """

    def __init__(
        self,
        *,
        broker: FailoverBroker,
        memory: Callable[[Limits], Broker],
        epoch_watcher: EpochWatcher,
        lock: LeaderLock,
        catch_up: CatchUp,
        settings_sync: SettingsSync,
        rebuild: Rebuild,
        ledger: Ledger,
        limits: Callable[[], Awaitable[Limits]],
        lease_ms: int,
        has_rivals: bool,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._new_memory = memory
        self._epoch_watcher = epoch_watcher
        self._lock = lock
        self._catch_up = catch_up
        self._settings_sync = settings_sync
        self._rebuild = rebuild
        self._ledger = ledger
        self._limits = limits
        self._lease_ms = lease_ms
        self._has_rivals = has_rivals
        self._clock = clock
        self._sleep = sleep
        self._leases_from_ms: tuple[int, int] | None = None  # an epoch's number, and when its first lease may be
        self._redis_from_ms = 0
        self._back_since_ms: int | None = None
        self._others_end_until_ms = 0  # when the last call that they began under a lease from before has ended

    async def begin(self, after: Epoch) -> None:
        """Begin an epoch of this process, and note when its first lease may be; without rivals, have it now.

        If it follows one of this Redis, nothing else was leased from: then Redis mode may go on as soon as it is back.
        """
        epoch = await self._epoch_watcher.advance(after, LeaseSource.LEADER)
        is_ours = after.schema in {NO_SCHEMA, self._epoch_watcher.schema}
        self._expect(epoch, was_redis=after.source is LeaseSource.REDIS and is_ours)
        if not self._has_rivals:
            while not self._may_open():
                await self._sleep(CALLS_CHECK_S)
            await self._open(epoch)

    async def step(self, epoch: Epoch) -> bool:
        """Do what is to be done next; False if leases can come from Redis again."""
        if not epoch.is_own:
            await self.begin(epoch)
        elif self._leases_from_ms is None or self._leases_from_ms[0] != epoch.number:
            self._expect(epoch, was_redis=False)  # the answer to its beginning was lost
        elif await self._is_redis_back():
            return False
        elif (memory := self._broker.memory) is not None:
            await self._settings_sync.apply(memory, memory.configure)
            await self._take_out_ended(memory)
            await self._catch_up.take_in()
        elif self._may_open():
            await self._open(epoch)
        return True

    async def end(self) -> None:
        """Lease nothing more, and wait for what is leased; after ``lease_ms`` none of it may be written any more."""
        self._broker.stop_leasing()
        until_ms = self._clock() + self._lease_ms
        while (memory := self._broker.memory) and (await memory.stats()).leased and self._clock() < until_ms:
            await self._sleep(CALLS_CHECK_S)
        self._broker.close_memory()

    def _expect(self, epoch: Epoch, *, was_redis: bool) -> None:
        if epoch.is_own and epoch.source is LeaseSource.LEADER:
            may_lease_at_ms = self._clock() + self._lease_ms + round(WATCH_S * 1_000) + MARGIN_MS
            self._leases_from_ms = (epoch.number, may_lease_at_ms)
            self._redis_from_ms = 0 if was_redis or not self._has_rivals else may_lease_at_ms
            self._back_since_ms = None
            leases_in_ms = may_lease_at_ms - self._clock() if self._has_rivals else 0
            log.warning("standalone_mode_began", epoch=epoch.number, leases_in_ms=leases_in_ms)

    def _may_open(self) -> bool:
        """Tell whether no lease from before is good: of the only process, once its own calls have ended."""
        if self._leases_from_ms is None or self._clock() >= self._leases_from_ms[1]:
            return True
        return not self._has_rivals and not self._broker.has_leases

    async def _is_redis_back(self) -> bool:
        """Tell whether Redis has answered for a while, with or without a queue."""
        now_ms = self._clock()
        try:
            await self._broker.probe()
        except QueueLost:
            pass
        except BrokerUnavailable:
            self._back_since_ms = None
            return False
        if self._back_since_ms is None:
            self._back_since_ms = now_ms
        return now_ms - self._back_since_ms >= BACK_MS and now_ms >= self._redis_from_ms

    async def _open(self, epoch: Epoch) -> None:
        memory, began_at_ms = self._new_memory(await self._limits()), self._clock()
        self._settings_sync.forget()
        await self._rebuild(memory, OtherProcesses(self._lease_ms, before_batch=self._lock.confirm))
        self._catch_up.was_rebuilt(at_ms=began_at_ms)
        self._others_end_until_ms = self._clock() + 2 * self._lease_ms
        await self._epoch_watcher.look()
        self._broker.open_memory(memory, epoch)

    async def _take_out_ended(self, memory: Broker) -> None:
        """Remove what other processes have ended since it was rebuilt, and set the holds they got: the ledger has both.

        A call may begin at the end of its lease, and be answered when the memory leases already.
        """
        if self._clock() >= self._others_end_until_ms:
            return
        ended = await self._ledger.ended_since(self._catch_up.looks_back_to_ms)
        for batch in batches(ended, BATCH_MAX):
            await memory.cancel(batch)
        await memory.hold(await self._ledger.holds(self._clock()))
