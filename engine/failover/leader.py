"""Decides what the leading process does next: keep the queue in Redis, rebuild it, or stand in for it.

Every process has a ``Leader``, which reads the epoch again and again (``epoch_watcher``). One of them leads
(``leader_election``), and acts as this table says. In brackets: the condition that holds, the event that is logged.

    state               means                          the leader                                 until
    ------------------  -----------------------------  -----------------------------------------  --------------------
    not begun           no process has ever sent       begins the queue in Redis (barred),        it is open
      [not_begun]                                      rebuilds it, begins an epoch of Redis,
                                                       opens it [redis_queue_begun]
    Redis mode          leases come from Redis         compares queue and ledger (``catch_up``)   Redis, or its queue,
                                                                                                  is missed
    queue lost          Redis has no queue, or one     begins it anew (barred), rebuilds it,      it is open
      [schedule_lost]   older than the ledger          opens it [redis_queue_lost]
    Redis away          no verb is answered; messages  waits, then leaves the lead to a process   Redis is back, or no
      [redis_away]      go to the ledger alone         that may reach it [leader_stepped_aside]   process reaches it
    alone               as above, and no other         begins an epoch of its own at once         its own calls are
      [redis_away]      process has the ledger                                                    recorded
    silence             an epoch of the leader began   waits until no lease from before is good,  the queue is in its
      [one_sender]      [standalone_mode_began]        then rebuilds the queue in its memory      memory
    standalone mode     leases come from the leader's  takes in what the others wrote to the      Redis has answered
      [one_sender]      memory alone                   ledger                                     for ``BACK_MS``
    handing back        Redis is back                  settles what is leased, then as in         an epoch of Redis
      [one_sender]                                     "not begun" [redis_mode_resumed]           begins
    leader gone         the epoch is of a leader that  begins an epoch of its own                 silence
      [one_sender]      leads no more
    older schema        the queue is of an older       begins an epoch of its own, so that        silence, then
                        version                        processes of that version lease nothing    handing back
                                                       any more [older_queue_replaced]
    newer schema        the queue is of a newer        leaves the lead for good                   this process is
      [other_version]   version                        [leadership_abandoned]                     updated

Why the next leader can go on wherever this one dies, or loses the lead:

-   It has thrown away the queue in Redis, or rebuilt a part of it: there is none, or it is barred. No process leases
    from it, and the next leader rebuilds it.
-   It has begun an epoch of its own: nothing leases from the memory of a dead process. (A frozen one, or one that is
    cut off, leases until ``lease_ms`` after its last reading; see ``FailoverBroker``.) The next leader begins an epoch
    of its own, and waits for longer than that before it leases.
-   It has rebuilt the queue in Redis, and the epoch is still its own: no process leases, as the epoch says so. The next
    leader takes over as above, and begins the queue anew.
-   It has begun the epoch of Redis and not opened the queue: it is barred. As in the first case.
-   It wakes up in the middle of rebuilding, and another leads: it confirms the lead before every batch and before
    opening, and stops. A batch that it sent before it fell asleep is refused, as it names the queue that it has begun.
-   It only loses the lead: what may be leased is a matter of the epoch, and only another leader changes that.

Processes of two versions with different schemas (``brokers.redis.keys.SCHEMA``) run side by side: only those lease
whose schema is that of the epoch. The others write to the ledger alone, and let the leader know that they are there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from tempogram.engine.failover.catch_up import CatchUp
from tempogram.engine.failover.epoch_watcher import WATCH_S, EpochWatcher
from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.failover.leader_election import LeaderElection
from tempogram.engine.failover.redis_mode import RedisMode
from tempogram.engine.failover.standalone_mode import StandaloneMode
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.ports import Epoch, LeaseSource
from tempogram.engine.recovery.settings_sync import SettingsSync
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

PROBE_S = 2.0
"""Between two checks whether Redis has its queue; a verb that misses it wakes the leader sooner."""


class Leader:
    """See the module; ``failover.build`` puts one together.

    Args:
        may_lead: This process sends. If not, it only reads the epoch.
    """

    def __init__(
        self,
        *,
        broker: FailoverBroker,
        epoch_watcher: EpochWatcher,
        election: LeaderElection,
        redis_mode: RedisMode,
        standalone_mode: StandaloneMode,
        catch_up: CatchUp,
        settings_sync: SettingsSync,
        may_lead: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._epoch_watcher = epoch_watcher
        self._election = election
        self._redis_mode = redis_mode
        self._standalone_mode = standalone_mode
        self._catch_up = catch_up
        self._settings_sync = settings_sync
        self._may_lead = may_lead
        self._sleep = sleep

    @property
    def is_leading(self) -> bool:
        return self._election.is_leading

    async def run(self) -> None:
        """Watch, and act while this process leads, until cancelled; then leave the lead to another."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._repeat(self.watch, partial(self._epoch_watcher.rest, self._sleep)))
                loops.create_task(self._repeat(self.probe, partial(self._sleep, WATCH_S)))
                if self._may_lead:
                    loops.create_task(self._lead())
        finally:
            await self._election.resign()

    async def look(self) -> Epoch:
        """Read the epoch, and have this process's broker follow it."""
        return await self._epoch_watcher.look()

    async def watch(self) -> None:
        """Follow the epoch; let the leader know if this process can only write to the ledger."""
        await self._epoch_watcher.look_and_report()

    async def probe(self) -> None:
        """Try again what this process still wants of Redis: to remove what has ended, and to know that it is back."""
        await self._broker.take_out_ended()
        await self._broker.probe_if_missed()

    async def step(self) -> None:
        """Do what is to be done next, if this process leads. Whatever it raises, the next step goes on from there."""
        self._broker.trouble.clear()
        if not await self._leads():
            return
        epoch = await self.look()
        if epoch.schema > self._epoch_watcher.schema:
            await self._election.withdraw()
        elif epoch.source is LeaseSource.REDIS:
            await self._step_in_redis_mode(epoch)
        else:
            await self._step_in_standalone_mode(epoch)

    @staticmethod
    async def _repeat(look: Callable[[], Awaitable[None]], rest: Callable[[], Awaitable[None]]) -> None:
        """Look, and rest. Each has a loop of its own: a question that waits for an answer keeps no other waiting."""
        while True:
            try:
                await look()
            except (LedgerError, BrokerUnavailable):
                pass  # a condition by now
            except Exception:
                log.exception("failover_watch_failed")
            await rest()

    async def _lead(self) -> None:
        while True:
            try:
                await self.step()
            except (BrokerUnavailable, LedgerError) as error:
                log.warning("leader_step_retried", error=str(error))
            except Exception:
                log.exception("leader_step_failed")
            await self._rest()

    async def _rest(self) -> None:
        """Wait for the next step: for less long while this process sends for all, or something is missed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S if self._broker.memory or self._epoch_watcher.is_bypassed else PROBE_S):
                await self._broker.trouble.wait()

    async def _leads(self) -> bool:
        """Tell whether this process leads; what it knows of the queue from when it led before is worth nothing."""
        led = self.is_leading
        leads = await self._election.leads()
        if leads and not led:
            self._catch_up.begin_anew()
            self._settings_sync.forget()
        return leads

    async def _step_in_redis_mode(self, epoch: Epoch) -> None:
        if self._election.may_send_for_all or not await self._redis_mode.step(epoch):
            await self._standalone_mode.begin(epoch)

    async def _step_in_standalone_mode(self, epoch: Epoch) -> None:
        if not await self._standalone_mode.step(epoch):
            await self._standalone_mode.end()
            await self._redis_mode.resume(epoch)
