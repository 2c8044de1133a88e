"""Keeps the schedule of many processes: begins it, compares it with the ledger, rebuilds it, stands in for it.

Every process has one keeper, which reads the epoch each second and tells the switch (``watch``). One of them leads, and
acts (``epoch_of_redis``, ``epoch_of_keeper``):

    epoch of Redis      its schedule is lost      begin it anew (barred), rebuild it, open it
                        it is away for a while    leave the lead to one who reaches it (``candidacy``)
                        nobody reaches it         begin an epoch of the keeper
                        it is of an older form    the same: whoever goes by that form leases nothing any more, and
                                                  Redis is back as soon as no lease from before is good
    epoch of a keeper   another process's         begin one of its own
                        its own                   wait until no lease from before is good; rebuild a schedule in memory,
                                                  and send alone; take in what others wrote to the ledger
                        and Redis is back         settle what is leased; begin the schedule in Redis anew (barred),
                                                  rebuild it, begin an epoch of Redis, open it

Why the next leader can go on wherever this one dies, or loses the lead:

-   It has thrown away the schedule in Redis, or rebuilt a part of it: there is none, or it is barred. Nobody leases
    from it, and the next leader finds so, and rebuilds it.
-   It has begun an epoch of the keeper: that is the epoch of a dead process, and nobody leases. (A frozen one, or
    one that is cut off, leases until ``lease_ms`` after its last reading; see ``FailoverBroker``.) The next leader
    begins one of its own, and waits for longer than that before it leases.
-   It has rebuilt the schedule in Redis, and the epoch is still its own: nobody leases, as the epoch says so. The
    next leader takes over as above, and has the schedule begun anew.
-   It has begun the epoch of Redis and not opened the schedule: it is barred. As in the first case.
-   It wakes up in the middle of rebuilding, and another leads: it asks before every batch and before opening, and
    stops. A batch that it asked for before it fell asleep is refused, as it names the schedule that it has begun.

Processes of two versions that understand different forms of the schedule (``redis_keys.SCHEMA``) run side by side, and
only those send whose form is that of the epoch. The others write to the ledger alone, and let the leader know that
they are there. A leader of the higher form begins the next epoch; one of the lower leaves the lead, for good.

Losing the lead alone stops nothing: what may be leased is a matter of the epoch, and only another leader changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from tempogram.engine.closing.closer import Closer
from tempogram.engine.failover.candidacy import Candidacy
from tempogram.engine.failover.catch_up import CatchUp
from tempogram.engine.failover.dead_processes import DeadProcesses
from tempogram.engine.failover.epoch_watcher import WATCH_S, EpochWatcher
from tempogram.engine.failover.failover_broker import FailoverBroker, SharedQueue
from tempogram.engine.failover.leader_election import LeaderLock
from tempogram.engine.failover.redis_mode import RedisMode
from tempogram.engine.failover.standalone_mode import StandaloneMode
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.ports import Broker, Clock, Epoch, Epochs, Leadership, Ledger, Membership, Source
from tempogram.engine.recovery.rebuild import OtherProcesses, rebuild
from tempogram.engine.recovery.reconciler import Reconciler
from tempogram.engine.recovery.settings_sync import SettingsSync
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep

log = structlog.get_logger()

PROBE_S = 2.0
"""Between two looks whether Redis has its schedule; a verb that misses it wakes the keeper sooner."""


class Leader:
    """See the module.

    Args:
        memory: Makes an empty broker, for an epoch of this keeper.
        may_lead: This process sends. If not, it only reads the epoch.
        shares_books: Other processes have the same books, so that they can be told to let one send alone.
    """

    def __init__(
        self,
        *,
        broker: FailoverBroker,
        redis: SharedQueue,
        memory: Callable[[Limits], Broker],
        epochs: Epochs,
        leadership: Leadership,
        members: Membership,
        ledger: Ledger,
        closer: Closer,
        reconciler: Reconciler,
        limits: Callable[[], Awaitable[Limits]],
        lease_ms: int,
        clock: Clock,
        conditions: Conditions,
        may_lead: bool = True,
        shares_books: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._schema = redis.schema
        self._ledger = ledger
        self._closer = closer
        self._limits = limits
        self._clock = clock
        self._may_lead = may_lead
        self._sleep = sleep
        self._epoch_watcher = EpochWatcher(
            epochs=epochs, broker=broker, schema=redis.schema, clock=clock, conditions=conditions
        )
        self._lock = LeaderLock(leadership)
        self._candidacy = Candidacy(lock=self._lock, broker=broker, clock=clock, has_rivals=shares_books)
        self._settings_sync = SettingsSync(ledger, limits)
        self._catch_up = CatchUp(
            reconciler=reconciler,
            ledger=ledger,
            schedule=broker,
            lease_ms=lease_ms,
            dead_processes=DeadProcesses(members, clock),
            clock=clock,
            sleep=sleep,
        )
        self._of_redis = RedisMode(
            broker=broker,
            redis=redis,
            epoch_watcher=self._epoch_watcher,
            lock=self._lock,
            catch_up=self._catch_up,
            monitored=self._settings_sync,
            rebuild=self._rebuild,
            lease_ms=lease_ms,
        )
        self._of_keeper = StandaloneMode(
            broker=broker,
            memory=memory,
            schema=redis.schema,
            epoch_watcher=self._epoch_watcher,
            lock=self._lock,
            catch_up=self._catch_up,
            monitored=self._settings_sync,
            rebuild=self._rebuild,
            ledger=ledger,
            limits=limits,
            lease_ms=lease_ms,
            clock=clock,
            sleep=sleep,
        )

    @property
    def is_leading(self) -> bool:
        return self._lock.is_held

    async def run(self) -> None:
        """Watch, and keep while this process leads, until cancelled; then leave the lead to another."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._again_and_again(self.watch))
                loops.create_task(self._again_and_again(self.ask_again))
                if self._may_lead:
                    loops.create_task(self._keep())
        finally:
            await self._lock.leave()

    async def look(self) -> Epoch:
        """Read the epoch, and have this process go by it."""
        return await self._epoch_watcher.look()

    async def watch(self) -> None:
        """Have this process go by the epoch."""
        await self._epoch_watcher.look_and_tell()

    async def ask_again(self) -> None:
        """Look for what this process waits for: a schedule to be told what has ended, or one to be back."""
        await self._broker.take_out_ended()
        await self._broker.look_again()

    async def step(self) -> None:
        """Do what is to be done next, if this process leads. Whatever it raises, the next step goes on from there."""
        self._broker.trouble.clear()
        if not await self._leads():
            return
        epoch = await self.look()
        if epoch.schema > self._schema:
            await self._lock.give_up()
        elif epoch.source is Source.REDIS:
            await self._keep_redis(epoch)
        else:
            await self._keep_memory(epoch)

    async def _again_and_again(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look each second. Each has a loop of its own: a question that waits for an answer keeps no other waiting."""
        while True:
            try:
                await look()
            except (LedgerError, BrokerUnavailable):
                pass  # noted as a condition, by who asked
            except Exception:
                log.exception("watching failed")
            await self._sleep(WATCH_S)

    async def _keep(self) -> None:
        while True:
            try:
                await self.step()
            except (BrokerUnavailable, LedgerError) as error:
                log.warning("the keeper tries again", error=str(error))
            except Exception:
                log.exception("keeping failed")
            await self._rest()

    async def _rest(self) -> None:
        """Wait for the next step: for less long while this process sends for all, or something is missed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S if self._broker.memory or self._epoch_watcher.is_bypassed else PROBE_S):
                await self._broker.trouble.wait()

    async def _leads(self) -> bool:
        """Tell whether this process leads; what it knows of the schedule from when it led before is worth nothing."""
        led = self._lock.is_held
        leads = await self._candidacy.stands() and await self._lock.take()
        if leads and not led:
            self._catch_up.begin_anew()
            self._settings_sync.forget()
        return leads

    async def _keep_redis(self, epoch: Epoch) -> None:
        if self._candidacy.may_send_for_all or not await self._of_redis.keep(epoch):
            await self._of_keeper.begin(epoch)

    async def _keep_memory(self, epoch: Epoch) -> None:
        if not await self._of_keeper.keep(epoch):
            await self._of_keeper.end()
            await self._of_redis.begin(epoch)
            log.warning("leases come from Redis again")

    async def _rebuild(self, broker: Broker, fleet: OtherProcesses) -> None:
        limits = await self._limits()
        await rebuild(self._ledger, broker, self._closer, limits, self._clock, fleet=fleet)
