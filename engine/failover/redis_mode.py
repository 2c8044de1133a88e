"""What the leader keeps while leases come from Redis: a schedule there that has all of the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from tempogram.engine.failover.catch_up import Comparison
from tempogram.engine.failover.epoch_watcher import Watch
from tempogram.engine.failover.failover_broker import NOT_BEGUN, SharedSchedule, SwitchedBroker
from tempogram.engine.failover.leader_election import ANOTHER_LEADS, Lead
from tempogram.engine.model.errors import BrokerUnavailable, ScheduleLost
from tempogram.engine.ports import NOBODYS, Broker, Epoch, Source
from tempogram.engine.recovery.rebuild import Fleet
from tempogram.engine.recovery.settings_sync import Heeded

log = structlog.get_logger()

Rebuild = Callable[[Broker, Fleet], Awaitable[None]]
"""Brings an empty broker to where the ledger says it was; see ``start``."""


class EpochOfRedis:
    """Kept by who leads; see ``keeper``."""

    def __init__(
        self,
        *,
        switch: SwitchedBroker,
        redis: SharedSchedule,
        watch: Watch,
        lead: Lead,
        comparison: Comparison,
        heeded: Heeded,
        rebuild: Rebuild,
        lease_ms: int,
    ) -> None:
        self._switch = switch
        self._redis = redis
        self._watch = watch
        self._lead = lead
        self._comparison = comparison
        self._heeded = heeded
        self._rebuild = rebuild
        self._lease_ms = lease_ms

    async def keep(self, epoch: Epoch) -> bool:
        """Do what is to be done next; False if the epoch cannot go on, as its form is an older one."""
        if NOBODYS < epoch.form < self._redis.form:
            log.warning("the schedule is one of an older version, and is replaced", form=epoch.form)
            return False
        try:
            await self._find_schedule(epoch)
        except ScheduleLost:
            await self._heal(epoch)
        except BrokerUnavailable:
            self._comparison.fall_behind()
        else:
            await self._compare()
        return True

    async def begin(self, after: Epoch) -> None:
        """Have leases come from Redis, by an epoch that begins when the schedule there has all of the ledger."""
        await self._rebuild_schedule(after, then=Source.REDIS)

    async def _find_schedule(self, epoch: Epoch) -> None:
        """Raise what a verb would; in the epoch of nobody Redis holds no schedule of these books."""
        await self._switch.probe()
        if epoch.form == NOBODYS:
            raise ScheduleLost(NOT_BEGUN)

    async def _heal(self, epoch: Epoch) -> None:
        if epoch.form == NOBODYS:
            await self._rebuild_schedule(epoch, then=Source.REDIS)
            log.info("the schedule in Redis is begun")
        else:
            log.warning("the schedule in Redis is lost, and rebuilt")
            await self._rebuild_schedule(epoch, then=None)
        await self._switch.probe()

    async def _rebuild_schedule(self, epoch: Epoch, *, then: Source | None) -> None:
        """Begin the schedule in Redis anew, and bring it to where the ledger says; in between an epoch may begin."""

        async def before_opening() -> None:
            await self._lead.insist()
            now = epoch if then is None else await self._watch.advance(epoch, then)
            if now.source is not Source.REDIS or (then is not None and not now.is_own):
                raise BrokerUnavailable(ANOTHER_LEADS)

        await self._lead.insist()
        begun = await self._redis.begin()
        self._heeded.forget()
        await self._heeded.tell(begun, begun.enforce)
        await self._rebuild(begun, Fleet(self._lease_ms, go_on=self._lead.insist, before_opening=before_opening))
        self._comparison.fall_behind()

    async def _compare(self) -> None:
        await self._heeded.tell(self._redis, self._redis.enforce)
        await self._comparison.compare(is_bypassed=self._watch.is_bypassed)
