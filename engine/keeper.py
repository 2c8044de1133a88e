"""Keeps the schedule of many processes: begins it, compares it with the ledger, rebuilds it, stands in for it.

Every process has one keeper, which reads the epoch each second and tells the switch. One of them leads, and acts:

    epoch of Redis      its schedule is lost      begin it anew (barred), rebuild it, open it
                        it is away for long       begin an epoch of the keeper
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
    one that is cut off, leases until ``lease_ms`` after its last reading; see ``SwitchedBroker``.) The next leader
    begins one of its own, and waits for longer than that before it leases.
-   It has rebuilt the schedule in Redis, and the epoch is still its own: nobody leases, as the epoch says so. The
    next leader takes over as above, and has the schedule begun anew.
-   It has begun the epoch of Redis and not opened the schedule: it is barred. As in the first case.
-   It wakes up in the middle of rebuilding, and another leads: it asks before every batch and before opening, and
    stops. A batch that it asked for before it fell asleep is refused, as it names the schedule that it has begun.

Processes of two versions that understand different forms of the schedule (``redis_keys.FORM``) run side by side, and
only those send whose form is that of the epoch. The others write to the ledger alone, and let the leader know that
they are there. A leader of the higher form begins the next epoch; one of the lower leaves the lead, for good.

Losing the lead alone stops nothing: what may be leased is a matter of the epoch, and only another leader changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from engine.batches import batches
from engine.conditions import Conditions
from engine.errors import BrokerFull, BrokerUnavailable, LedgerError, ScheduleLost
from engine.heed import Heeded
from engine.ids import earliest
from engine.insist import Sleep, heeded
from engine.limits import Limits
from engine.ports import NOBODYS, Broker, Clock, Epoch, Epochs, Leadership, Ledger, Source
from engine.ports.broker import BATCH_MAX
from engine.reconciler import CATCH_UP_MS, RECONCILE_MS, Reconciler
from engine.replacements import Replacements
from engine.start import Fleet, rebuild
from engine.switched_broker import NOT_BEGUN, SharedSchedule, SwitchedBroker

log = structlog.get_logger()

WATCH_S = 1.0
"""Between two readings of the epoch. From the design."""

PROBE_S = 2.0
"""Between two looks whether Redis has its schedule; a verb that misses it wakes the keeper sooner."""

AWAY_MS = 5_000
"""How long Redis is waited for, before one process sends for all. A guess: a restart takes a second or two."""

BACK_MS = 2_000
"""How long Redis must have answered before it is trusted again. A guess."""

MARGIN_MS = 1_000
"""Added to how long leases may last: two clocks do not run at quite the same pace. A guess."""

TAKE_IN_MS = 1_000
"""What another process wrote to the ledger, and the memory does not know for so long, is taken in."""

OVERLAP_MS = 10_000
"""How far back is looked for what is to be taken in: clocks differ, and a commit may take long. A guess; the slow
comparison finds the rest."""

ANOTHER_LEADS = "another process leads now, or has led; what this one has begun is begun anew"


class Keeper:
    """See the module.

    Args:
        memory: Makes an empty broker, for an epoch of this keeper.
        may_lead: This process sends. If not, it only reads the epoch.
        shares_books: Other processes have the same books, so that they can be told to let one send alone.
    """

    def __init__(
        self,
        *,
        switch: SwitchedBroker,
        redis: SharedSchedule,
        memory: Callable[[Limits], Broker],
        epochs: Epochs,
        leadership: Leadership,
        ledger: Ledger,
        replacements: Replacements,
        reconciler: Reconciler,
        limits: Callable[[], Awaitable[Limits]],
        lease_ms: int,
        clock: Clock,
        conditions: Conditions,
        may_lead: bool = True,
        shares_books: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._switch = switch
        self._redis = redis
        self._new_memory = memory
        self._epochs = epochs
        self._leadership = leadership
        self._ledger = ledger
        self._replacements = replacements
        self._reconciler = reconciler
        self._limits = limits
        self._lease_ms = lease_ms
        self._clock = clock
        self._conditions = conditions
        self._may_lead = may_lead
        self._shares_books = shares_books
        self._sleep = sleep
        self._is_leading = False
        self._is_behind = True  # the ledger may have what the schedule has not
        self._away_since_ms: int | None = None
        self._back_since_ms: int | None = None
        self._memory_from_ms: tuple[int, int] | None = None  # an epoch's number, and when its first lease may be
        self._redis_from_ms = 0
        self._taken_in_at_ms = 0
        self._others_end_until_ms = 0  # what they began with their last leases from before
        self._bypassed: int | None = None  # what the epoch told last
        self._bypassed_at_ms: int | None = None
        self._is_outdated = False  # it never leads again
        self._heeded = Heeded(ledger, limits)
        self._reconciled_at_ms = self._interrupted_at_ms = clock()

    @property
    def is_leading(self) -> bool:
        return self._is_leading

    async def run(self) -> None:
        """Watch, and keep while this process leads, until cancelled; then leave the lead to another."""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._watch())
                if self._may_lead:
                    loops.create_task(self._keep())
        finally:
            await self._leadership.resign()

    async def look(self) -> Epoch:
        """Read the epoch, and have this process go by it."""
        at_ms = self._clock()
        epoch = await self._read()
        self._switch.read(epoch, at_ms=at_ms)
        self._note_bypass(epoch)
        return epoch

    async def _read(self) -> Epoch:
        """Read the epoch, and note if it cannot be read. That it can does not tell whether the ledger takes writes."""
        with heeded(self._conditions, seen_by="the epoch's reader"):
            return await self._epochs.current()

    async def watch(self) -> None:
        """Read the epoch, and let the leader know if this process has to write to the ledger alone."""
        epoch = await self.look()
        if self._switch.is_bypassed:
            await self._epochs.bypass(epoch)

    async def step(self) -> None:
        """Do what is to be done next, if this process leads. Whatever it raises, the next step goes on from there."""
        self._switch.trouble.clear()
        if not await self._leads():
            return
        epoch = await self.look()
        if epoch.form > self._redis.form:
            await self._give_up()
        elif epoch.source is Source.REDIS:
            await self._keep_redis(epoch)
        else:
            await self._keep_memory(epoch)

    async def _watch(self) -> None:
        while True:
            try:
                await self.watch()
                await self._switch.take_out_ended()
                await self._switch.look_again()
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
            async with asyncio.timeout(WATCH_S if self._switch.memory or self._is_bypassed() else PROBE_S):
                await self._switch.trouble.wait()

    async def _leads(self) -> bool:
        leads = not self._is_outdated and await self._leadership.leads()
        if leads and not self._is_leading:
            log.info("this process leads")
            self._is_behind = True
            self._heeded.forget()
        self._is_leading = leads
        return leads

    async def _give_up(self) -> None:
        self._is_outdated, self._is_leading = True, False
        log.warning("a newer version keeps the schedule; this process never leads again")
        await self._leadership.resign()

    # While leases come from Redis

    async def _keep_redis(self, epoch: Epoch) -> None:
        if NOBODYS < epoch.form < self._redis.form:
            log.warning("the schedule is one of an older version, and is replaced", form=epoch.form)
            await self._begin_own(epoch)
            return
        try:
            await self._find_schedule(epoch)
        except ScheduleLost:
            self._away_since_ms = None
            await self._heal(epoch)
        except BrokerFull:
            self._away_since_ms, self._is_behind = None, True
        except BrokerUnavailable:
            await self._miss_redis(epoch)
        else:
            self._away_since_ms = None
            await self._compare()

    async def _find_schedule(self, epoch: Epoch) -> None:
        """Raise what a verb would; in the epoch of nobody Redis holds no schedule of these books."""
        await self._switch.probe()
        if epoch.form == NOBODYS:
            raise ScheduleLost(NOT_BEGUN)

    async def _heal(self, epoch: Epoch) -> None:
        log.warning("the schedule in Redis is lost, and rebuilt")
        await self._rebuild_redis(epoch, then=Source.REDIS if epoch.form == NOBODYS else None)
        await self._switch.probe()

    async def _rebuild_redis(self, epoch: Epoch, *, then: Source | None = None) -> None:
        """Begin the schedule in Redis anew, and bring it to where the ledger says; in between an epoch may begin."""

        async def before_opening() -> None:
            await self._insist_on_lead()
            now = epoch if then is None else await self._advance(epoch, then)
            if now.source is not Source.REDIS or (then is not None and not now.is_own):
                raise BrokerUnavailable(ANOTHER_LEADS)

        await self._insist_on_lead()
        begun = await self._redis.begin()
        self._heeded.forget()
        await self._heeded.tell(begun, begun.enforce)
        fleet = Fleet(self._lease_ms, go_on=self._insist_on_lead, before_opening=before_opening)
        await self._rebuild(begun, fleet)
        self._is_behind = True

    async def _miss_redis(self, epoch: Epoch) -> None:
        now_ms = self._clock()
        self._is_behind = True
        if self._away_since_ms is None:
            self._away_since_ms = now_ms
        if self._shares_books and now_ms - self._away_since_ms >= AWAY_MS:
            await self._begin_own(epoch)

    async def _compare(self) -> None:
        """Look for what only the ledger has: all of it after something was missed, else page by page."""
        now_ms = self._clock()
        await self._heeded.tell(self._redis, self._redis.enforce)
        if self._is_behind:
            await self._catch_up()
        elif self._is_bypassed():
            await self._take_in()
        elif now_ms - self._reconciled_at_ms >= RECONCILE_MS:
            self._reconciled_at_ms = now_ms
            await self._reconciler.reconcile_page()
        await self._settle_interrupted()

    async def _catch_up(self) -> None:
        """Schedule what only the ledger has, and hold what Telegram throttled while nobody could be told."""
        self._taken_in_at_ms = self._clock()
        await self._switch.hold(await self._ledger.holds(self._clock()))
        await self._reconciler.look_at_all()
        await self._sleep(CATCH_UP_MS / 1_000)
        await self._reconciler.schedule_missing(CATCH_UP_MS)
        self._is_behind = False

    async def _settle_interrupted(self) -> None:
        """End what was marked as sending by a process that died, and that no schedule knows."""
        if self._clock() - self._interrupted_at_ms >= self._lease_ms:
            self._interrupted_at_ms = self._clock()
            await self._ledger.settle_interrupted(self._clock(), longer_than_ms=2 * self._lease_ms)

    # While leases come from the memory of a keeper

    async def _begin_own(self, after: Epoch) -> None:
        """Begin an epoch of this process, and note when its first lease may be.

        If it follows one of this Redis, nothing but that was leased from: then it may go on whenever it is back.
        """
        epoch = await self._advance(after, Source.KEEPER)
        self._expect(epoch, was_redis=after.source is Source.REDIS and after.form in {NOBODYS, self._redis.form})

    def _expect(self, epoch: Epoch, *, was_redis: bool) -> None:
        if epoch.is_own and epoch.source is Source.KEEPER:
            may_lease_at_ms = self._clock() + self._lease_ms + round(WATCH_S * 1_000) + MARGIN_MS
            self._memory_from_ms = (epoch.number, may_lease_at_ms)
            self._redis_from_ms = 0 if was_redis else may_lease_at_ms
            self._back_since_ms = None
            log.warning("this process will send for all", epoch=epoch.number)

    async def _keep_memory(self, epoch: Epoch) -> None:
        if not epoch.is_own:
            await self._begin_own(epoch)
        elif self._memory_from_ms is None or self._memory_from_ms[0] != epoch.number:
            self._expect(epoch, was_redis=False)  # the answer to its beginning was lost
        elif await self._is_redis_back():
            await self._go_back(epoch)
        elif (memory := self._switch.memory) is not None:
            await self._heeded.tell(memory, memory.configure)
            await self._take_out_ended(memory)
            await self._take_in()
            await self._settle_interrupted()
        elif self._clock() >= self._memory_from_ms[1]:
            await self._open_memory(epoch)

    async def _is_redis_back(self) -> bool:
        """Tell whether Redis has answered for a while, with or without a schedule."""
        now_ms = self._clock()
        try:
            await self._switch.probe()
        except ScheduleLost:
            pass
        except BrokerUnavailable:
            self._back_since_ms = None
            return False
        if self._back_since_ms is None:
            self._back_since_ms = now_ms
        return now_ms - self._back_since_ms >= BACK_MS and now_ms >= self._redis_from_ms

    async def _open_memory(self, epoch: Epoch) -> None:
        memory, began_at_ms = self._new_memory(await self._limits()), self._clock()
        self._heeded.forget()
        await self._rebuild(memory, Fleet(self._lease_ms, go_on=self._insist_on_lead))
        self._taken_in_at_ms = began_at_ms
        self._others_end_until_ms = self._clock() + 2 * self._lease_ms
        await self.look()
        self._switch.open_memory(memory, epoch)

    async def _take_out_ended(self, memory: Broker) -> None:
        """Take out what others have ended since it was rebuilt, and hold what they were told to: they cannot say so.

        A call may begin at the end of its lease, and be answered when the memory leases already.
        """
        if self._clock() >= self._others_end_until_ms:
            return
        ended = await self._ledger.ended_since(max(0, self._taken_in_at_ms - OVERLAP_MS))
        for batch in batches(ended, BATCH_MAX):
            await memory.cancel(batch)
        await memory.hold(await self._ledger.holds(self._clock()))

    async def _take_in(self) -> None:
        """Schedule what other processes only wrote to the ledger."""
        now_ms = self._clock()
        after_id = earliest(max(0, self._taken_in_at_ms - OVERLAP_MS))
        await self._reconciler.schedule_missing(TAKE_IN_MS)
        await self._reconciler.look_at_all(after_id=after_id)
        self._taken_in_at_ms = now_ms
        if now_ms - self._reconciled_at_ms >= RECONCILE_MS:
            self._reconciled_at_ms = now_ms
            await self._reconciler.reconcile_page()

    async def _go_back(self, epoch: Epoch) -> None:
        """Have leases come from Redis again."""
        await self._settle_leased()
        self._switch.close_memory()
        await self._rebuild_redis(epoch, then=Source.REDIS)
        self._away_since_ms = None
        log.warning("leases come from Redis again")

    async def _settle_leased(self) -> None:
        """Wait for what is leased from memory; after ``lease_ms`` none of it may be written any more."""
        memory = self._switch.memory
        if memory is None:
            return
        self._switch.stop_leasing()
        until_ms = self._clock() + self._lease_ms
        while (await memory.stats()).leased and self._clock() < until_ms:
            await self._sleep(0.05)

    # For both

    def _note_bypass(self, epoch: Epoch) -> None:
        if self._bypassed is not None and self._bypassed != epoch.bypassed:
            if not self._is_bypassed():
                self._switch.trouble.set()
            self._bypassed_at_ms = self._clock()
        self._bypassed = epoch.bypassed

    def _is_bypassed(self) -> bool:
        """Tell whether others write to the ledger alone, or have done so until a moment ago."""
        return self._bypassed_at_ms is not None and self._clock() - self._bypassed_at_ms < OVERLAP_MS

    async def _rebuild(self, broker: Broker, fleet: Fleet) -> None:
        await rebuild(
            self._ledger,
            broker,
            self._replacements,
            await self._limits(),
            self._clock,
            fleet=fleet,
        )

    async def _advance(self, after: Epoch, source: Source) -> Epoch:
        await self._epochs.advance(after, source, form=self._redis.form)
        return await self.look()

    async def _insist_on_lead(self) -> None:
        """Raise if another may be doing the same by now, or may have done it."""
        if not await self._leads():
            raise BrokerUnavailable(ANOTHER_LEADS)
