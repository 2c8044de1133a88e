"""What the leader keeps while leases come from Redis: a schedule there that has all of the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from tempogram.engine.failover.catch_up import CatchUp
from tempogram.engine.failover.epoch_watcher import EpochWatcher
from tempogram.engine.failover.failover_broker import NOT_BEGUN, FailoverBroker, SharedQueue
from tempogram.engine.failover.leader_election import ANOTHER_LEADS, LeaderLock
from tempogram.engine.model.errors import BrokerUnavailable, QueueLost
from tempogram.engine.ports import NO_SCHEMA, Broker, Epoch, Source
from tempogram.engine.recovery.rebuild import OtherProcesses
from tempogram.engine.recovery.settings_sync import SettingsSync

log = structlog.get_logger()

Rebuild = Callable[[Broker, OtherProcesses], Awaitable[None]]
"""Brings an empty broker to where the ledger says it was; see ``start``."""


class RedisMode:
    """Kept by who leads; see ``leader``."""

    def __init__(
        self,
        *,
        broker: FailoverBroker,
        redis: SharedQueue,
        epoch_watcher: EpochWatcher,
        lock: LeaderLock,
        catch_up: CatchUp,
        monitored: SettingsSync,
        rebuild: Rebuild,
        lease_ms: int,
    ) -> None:
        self._broker = broker
        self._redis = redis
        self._epoch_watcher = epoch_watcher
        self._lock = lock
        self._catch_up = catch_up
        self._settings_sync = monitored
        self._rebuild = rebuild
        self._lease_ms = lease_ms

    async def keep(self, epoch: Epoch) -> bool:
        """Do what is to be done next; False if the epoch cannot go on, as its form is an older one."""
        if NO_SCHEMA < epoch.schema < self._redis.schema:
            log.warning("the schedule is one of an older version, and is replaced", schema=epoch.schema)
            return False
        try:
            await self._find_schedule(epoch)
        except QueueLost:
            await self._heal(epoch)
        except BrokerUnavailable:
            self._catch_up.fall_behind()
        else:
            await self._compare()
        return True

    async def begin(self, after: Epoch) -> None:
        """Have leases come from Redis, by an epoch that begins when the schedule there has all of the ledger."""
        await self._rebuild_schedule(after, then=Source.REDIS)

    async def _find_schedule(self, epoch: Epoch) -> None:
        """Raise what a verb would; in the epoch of nobody Redis holds no schedule of these books."""
        await self._broker.probe()
        if epoch.schema == NO_SCHEMA:
            raise QueueLost(NOT_BEGUN)

    async def _heal(self, epoch: Epoch) -> None:
        if epoch.schema == NO_SCHEMA:
            await self._rebuild_schedule(epoch, then=Source.REDIS)
            log.info("the schedule in Redis is begun")
        else:
            log.warning("the schedule in Redis is lost, and rebuilt")
            await self._rebuild_schedule(epoch, then=None)
        await self._broker.probe()

    async def _rebuild_schedule(self, epoch: Epoch, *, then: Source | None) -> None:
        """Begin the schedule in Redis anew, and bring it to where the ledger says; in between an epoch may begin."""

        async def before_opening() -> None:
            await self._lock.retry_write()
            now = epoch if then is None else await self._epoch_watcher.advance(epoch, then)
            if now.source is not Source.REDIS or (then is not None and not now.is_own):
                raise BrokerUnavailable(ANOTHER_LEADS)

        await self._lock.retry_write()
        begun = await self._redis.begin()
        self._settings_sync.forget()
        await self._settings_sync.tell(begun, begun.enforce)
        await self._rebuild(
            begun, OtherProcesses(self._lease_ms, go_on=self._lock.retry_write, before_opening=before_opening)
        )
        self._catch_up.fall_behind()

    async def _compare(self) -> None:
        await self._settings_sync.tell(self._redis, self._redis.enforce)
        await self._catch_up.compare(is_bypassed=self._epoch_watcher.is_bypassed)
