"""What the leader does while leases come from Redis: it keeps a queue there that has all of the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from tempogram.engine.failover.catch_up import CatchUp
from tempogram.engine.failover.epoch_watcher import EpochWatcher
from tempogram.engine.failover.failover_broker import NOT_BEGUN, FailoverBroker, SharedQueue
from tempogram.engine.failover.leader_election import NOT_LEADER, LeaderLock
from tempogram.engine.model.errors import BrokerUnavailable, QueueLost
from tempogram.engine.ports import NO_SCHEMA, Broker, Epoch, LeaseSource
from tempogram.engine.recovery.rebuild import OtherProcesses
from tempogram.engine.recovery.settings_sync import APPLY_EVERY_MS, SettingsSync

log = structlog.get_logger()

OFF_CLOCK = "the time of the queue in Redis is not that of the process that leads"

Rebuild = Callable[[Broker, OtherProcesses], Awaitable[object]]
"""Brings an empty broker to where the ledger says it was; see ``recovery.rebuild``."""


class RedisMode:
    """See the table in ``leader``: not begun, Redis mode, queue lost, Redis away; and the way back from standalone.

    Args:
        has_rivals: Other processes share the ledger, and may reach Redis when this one does not.
    """

    def __init__(
        self,
        *,
        broker: FailoverBroker,
        redis: SharedQueue,
        epoch_watcher: EpochWatcher,
        lock: LeaderLock,
        catch_up: CatchUp,
        settings_sync: SettingsSync,
        rebuild: Rebuild,
        lease_ms: int,
        has_rivals: bool,
    ) -> None:
        self._broker = broker
        self._redis = redis
        self._epoch_watcher = epoch_watcher
        self._lock = lock
        self._catch_up = catch_up
        self._settings_sync = settings_sync
        self._rebuild = rebuild
        self._lease_ms = lease_ms
        self._has_rivals = has_rivals

    async def step(self, epoch: Epoch) -> bool:
        """Do what is to be done next; False if the epoch cannot go on.

        Its schema is an older one, or Redis is away and no other process could reach it.
        """
        if NO_SCHEMA < epoch.schema < self._redis.schema:
            log.warning("older_queue_replaced", schema=epoch.schema, by_schema=self._redis.schema)
            return False
        try:
            await self._find_queue(epoch)
        except QueueLost as error:
            await self._heal(epoch, str(error))
        except BrokerUnavailable:
            self._catch_up.fall_behind()
            self._settings_sync.hurry()
            return self._has_rivals or self._broker.away_since_ms is None
        else:
            await self._compare()
        return True

    async def resume(self, after: Epoch) -> None:
        """Have leases come from Redis, by an epoch that begins when the queue there has all of the ledger."""
        await self._rebuild_queue(after, then=LeaseSource.REDIS)
        log.warning("redis_mode_resumed")

    async def _find_queue(self, epoch: Epoch) -> None:
        """Raise what a verb would; in the first epoch of all Redis holds no queue of this ledger."""
        await self._broker.probe()
        if epoch.schema == NO_SCHEMA:
            raise QueueLost(NOT_BEGUN)
        if self._redis.is_off_clock:
            raise QueueLost(OFF_CLOCK)

    async def _heal(self, epoch: Epoch, reason: str) -> None:
        if epoch.schema == NO_SCHEMA:
            await self._rebuild_queue(epoch, then=LeaseSource.REDIS)
            log.info("redis_queue_begun")
        else:
            log.warning("redis_queue_lost", reason=reason, then="it is rebuilt from the ledger")
            await self._rebuild_queue(epoch, then=None)
        await self._broker.probe()

    async def _rebuild_queue(self, epoch: Epoch, *, then: LeaseSource | None) -> None:
        """Begin the queue in Redis anew, and bring it to where the ledger says; in between an epoch may begin."""

        async def before_opening() -> None:
            await self._lock.confirm()
            now = epoch if then is None else await self._epoch_watcher.advance(epoch, then)
            if now.source is not LeaseSource.REDIS or (then is not None and not now.is_own):
                raise BrokerUnavailable(NOT_LEADER)

        await self._lock.confirm()
        begun = await self._redis.begin()
        self._settings_sync.forget()
        await self._settings_sync.apply(begun, begun.enforce)
        await self._rebuild(
            begun, OtherProcesses(self._lease_ms, before_batch=self._lock.confirm, before_opening=before_opening)
        )
        self._catch_up.fall_behind()

    async def _compare(self) -> None:
        is_bypassed = self._epoch_watcher.is_bypassed
        every_ms = 0 if is_bypassed else APPLY_EVERY_MS
        await self._settings_sync.apply(self._redis, self._redis.enforce, every_ms=every_ms)
        await self._catch_up.compare(is_bypassed=is_bypassed)
