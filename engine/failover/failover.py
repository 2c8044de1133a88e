"""The one door to this folder: puts the broker and the leader of a process together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tempogram.engine.closing.closer import Closer
from tempogram.engine.failover.catch_up import CatchUp
from tempogram.engine.failover.dead_processes import DeadProcesses
from tempogram.engine.failover.epoch_watcher import EpochWatcher
from tempogram.engine.failover.failover_broker import FailoverBroker, SharedQueue
from tempogram.engine.failover.leader import Leader
from tempogram.engine.failover.leader_election import LeaderElection, LeaderLock
from tempogram.engine.failover.redis_mode import RedisMode
from tempogram.engine.failover.standalone_mode import StandaloneMode
from tempogram.engine.limits.limits import Limits
from tempogram.engine.ports import Broker, Clock, Epochs, Leadership, Ledger, Membership, Results
from tempogram.engine.recovery.rebuild import OtherProcesses, rebuild
from tempogram.engine.recovery.reconciler import Reconciler
from tempogram.engine.recovery.settings_sync import SettingsSync
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.retry import Sleep


@dataclass(frozen=True, slots=True)
class Failover:
    """What a process has of it.

    Attributes:
        broker: Every verb of the queue goes through it.
        closer: Ends what that queue will never send.
        leader: Runs as long as the process does.
    """

    broker: FailoverBroker
    closer: Closer
    leader: Leader


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordination:
    """What the processes of one database agree by.

    Attributes:
        shares_ledger: Other processes may have the same ledger. If not, nothing waits for them: this process sends
            from memory as soon as Redis is away.
    """

    epochs: Epochs
    leadership: Leadership
    members: Membership
    shares_ledger: bool = True


def build(
    redis: SharedQueue,
    memory: Callable[[Limits], Broker],
    coordination: Coordination,
    *,
    ledger: Ledger,
    results: Results,
    limits: Callable[[], Awaitable[Limits]],
    lease_ms: int,
    clock: Clock,
    conditions: Conditions,
    may_lead: bool = True,
    sleep: Sleep = asyncio.sleep,
) -> Failover:
    """Put together a broker that leases from Redis, or from the leader's memory, and the leader that decides which.

    ``memory`` makes an empty broker, ``limits`` reads those in force; a process that does not send must not lead.
    """
    has_rivals = coordination.shares_ledger
    broker = FailoverBroker(redis, ledger, conditions, lease_ms=lease_ms, clock=clock)
    closer = Closer(ledger=ledger, broker=broker, results=results, conditions=conditions, clock=clock, sleep=sleep)
    lock = LeaderLock(coordination.leadership)
    settings_sync = SettingsSync(ledger, limits, clock)
    epoch_watcher = EpochWatcher(
        epochs=coordination.epochs,
        broker=broker,
        schema=redis.schema,
        lease_ms=lease_ms,
        clock=clock,
        conditions=conditions,
    )
    catch_up = CatchUp(
        reconciler=Reconciler(ledger=ledger, broker=broker, closer=closer, conditions=conditions, clock=clock),
        ledger=ledger,
        broker=broker,
        lease_ms=lease_ms,
        dead_processes=DeadProcesses(coordination.members, clock),
        clock=clock,
        sleep=sleep,
    )

    # Until then it may hold leases of its predecessor, whose calls are not recorded.
    first_calls_ended_at_ms = clock() + 2 * lease_ms

    async def rebuild_from_ledger(empty: Broker, others: OtherProcesses) -> None:
        presumes = has_rivals or broker.has_leases or clock() < first_calls_ended_at_ms
        await rebuild(ledger, empty, closer, await limits(), clock, others=others, presumes=presumes)

    leader = Leader(
        broker=broker,
        epoch_watcher=epoch_watcher,
        election=LeaderElection(lock, broker=broker, clock=clock, has_rivals=has_rivals),
        redis_mode=RedisMode(
            broker=broker,
            redis=redis,
            epoch_watcher=epoch_watcher,
            lock=lock,
            catch_up=catch_up,
            settings_sync=settings_sync,
            rebuild=rebuild_from_ledger,
            lease_ms=lease_ms,
            has_rivals=has_rivals,
        ),
        standalone_mode=StandaloneMode(
            broker=broker,
            memory=memory,
            epoch_watcher=epoch_watcher,
            lock=lock,
            catch_up=catch_up,
            settings_sync=settings_sync,
            rebuild=rebuild_from_ledger,
            ledger=ledger,
            limits=limits,
            lease_ms=lease_ms,
            has_rivals=has_rivals,
            clock=clock,
            sleep=sleep,
        ),
        catch_up=catch_up,
        settings_sync=settings_sync,
        may_lead=may_lead,
        sleep=sleep,
    )
    return Failover(broker, closer, leader)
