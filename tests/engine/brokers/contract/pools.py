"""Calls that hang keep places of the ceiling and connections, and yet cost other bots nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.limits.pool import ACTIVE_MS, SLOW_MS, Connections, Pool
from tempogram.engine.model.messages import Lease, Outgoing, Priority
from tempogram.engine.ports import Broker, Leased, WaitsAt
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract.steps import (
    HIGH,
    NONE,
    NORMAL,
    UNLIMITED,
    MakeBroker,
    lease,
    leased_ids,
    many,
    queue,
    settle,
    waits_at,
)
from tests.fakes import START_MS, Clock, outgoing

HANGS_MS = 20_000
HANGING, OTHERS = (1, 2, 3, 4), (5, 6, 7, 8)
QUICK_MS = 60


@dataclass
class CallingWorker:
    """Leases what may go, with connections of its own or with any number, and lets each call take its bot's time."""

    broker: Broker
    clock: Clock
    takes_ms: Mapping[int, int]
    pool: Pool = field(default_factory=lambda: Pool(10_000))
    calls: list[tuple[int, Lease]] = field(default_factory=list)
    began: list[tuple[int, Lease]] = field(default_factory=list)

    def under_way(self, bot_id: int) -> int:
        return sum(each.message.bot_id == bot_id for _, each in self.calls)

    async def work(self, *, until_ms: int, arrivals: Sequence[tuple[int, Outgoing]] = ()) -> None:
        """Work until a time; ``arrivals`` are admitted meanwhile, each at its time."""
        coming = list(arrivals)
        while True:
            leased = await self._lease_all()
            shares_ms = self.pool.changes_at_ms(self.clock()) if leased.is_kept_back else None
            times = [leased.wake_at_ms, shares_ms, *(end for end, _ in self.calls), *(at for at, _ in coming[:1])]
            next_ms = min([at_ms for at_ms in times if at_ms is not None], default=until_ms)
            self.clock.now_ms = max(self.clock(), min(next_ms, until_ms))
            if next_ms > until_ms:
                return
            while coming and coming[0][0] <= self.clock():
                await queue(self.broker, [coming.pop(0)[1]])
            await self._end_calls()

    async def _lease_all(self) -> Leased:
        while True:
            now_ms = self.clock()
            free = self.pool.places - self.pool.taken
            connections = Connections(self.pool, free, now_ms)
            leased = await self.broker.lease(worker_id="worker", slots=free, connections=connections)
            for each in leased.leases:
                self.pool.begin(each.message.bot_id, each.number, 1, now_ms)
                self.calls.append((now_ms + self.takes_ms[each.message.bot_id], each))
                self.began.append((now_ms, each))
            if not leased.leases or not self.pool.places - self.pool.taken:
                return leased

    async def _end_calls(self) -> None:
        now_ms = self.clock()
        ended = [each for end_ms, each in self.calls if end_ms <= now_ms]
        self.calls = [call for call in self.calls if call[0] > now_ms]
        for each in ended:
            self.pool.end(each.message.bot_id, each.number, 1, now_ms)
        for start in range(0, len(ended), BATCH_MAX):
            await settle(self.broker, ended[start : start + BATCH_MAX])


def half_hang() -> dict[int, int]:
    return dict.fromkeys(HANGING, HANGS_MS) | dict.fromkeys(OTHERS, QUICK_MS)


async def queue_for(broker: Broker, bots: Sequence[int], count: int, priority: Priority = NORMAL) -> None:
    for bot_id in bots:
        await queue(broker, many(count, prefix=f"b{bot_id}-{priority}-", bot_id=bot_id, priority=priority))


def urgent(bot_id: int, number: int) -> Outgoing:
    return outgoing(f"urgent{number:04}", bot_id=bot_id, chat_id=-1_000 - number, priority=HIGH)


def usual(bot_id: int, number: int) -> Outgoing:
    return outgoing(f"usual{number:04}", bot_id=bot_id, chat_id=-2_000 - number)


async def meet(broker: Broker, *bots: int) -> None:
    """Let each bot send one message."""
    for bot_id in bots:
        await queue(broker, many(1, prefix=f"hello{bot_id}-", bot_id=bot_id, priority=HIGH))
        await settle(broker, await lease(broker))


def exhausted(clock: Clock) -> Pool:
    """Return twenty connections of which two are free, and two bots that hang have the others."""
    pool = Pool(20)
    for bot_id in (1, 2):
        for number in range(9):
            pool.begin(bot_id, number, 1, clock() - SLOW_MS)
    return pool


class Pools:
    @pytest.mark.parametrize("priority", [HIGH, NORMAL])
    async def test_while_half_of_the_bots_hang_an_urgent_message_of_another_waits_for_none_of_them(
        self, make: MakeBroker, clock: Clock, priority: Priority
    ) -> None:
        broker = make(replace(Limits(), ceiling=NONE))
        await queue_for(broker, HANGING, 60, priority)
        arrivals = [(START_MS + 250 * number, urgent(OTHERS[number % 4], number)) for number in range(100)]
        worker = CallingWorker(broker, clock, half_hang(), Pool(100))

        await worker.work(until_ms=START_MS + 26_000, arrivals=arrivals)

        came_ms = {message.id: at_ms for at_ms, message in arrivals}
        waited_ms = [at_ms - came_ms[each.message.id] for at_ms, each in worker.began if each.message.id in came_ms]
        assert len(waited_ms) == 100
        assert max(waited_ms) <= 100
        assert sum(worker.under_way(bot_id) for bot_id in HANGING) >= 40

    async def test_bots_that_begin_to_hang_all_at_once_hold_up_no_ordinary_message_of_another(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(Limits(), ceiling=NONE))
        hanging = range(101, 111)
        ordinary = [(START_MS + 250 * number, usual(OTHERS[number % 4], number)) for number in range(24)]
        backlog = [
            (START_MS + 1_100, each) for bot_id in hanging for each in many(10, prefix=f"b{bot_id}-", bot_id=bot_id)
        ]
        takes_ms = dict.fromkeys(hanging, HANGS_MS) | dict.fromkeys(OTHERS, QUICK_MS)
        worker = CallingWorker(broker, clock, takes_ms, Pool(30))

        await worker.work(until_ms=START_MS + 7_000, arrivals=sorted(ordinary + backlog, key=lambda each: each[0]))

        came_ms = {message.id: at_ms for at_ms, message in ordinary}
        waited_ms = [at_ms - came_ms[each.message.id] for at_ms, each in worker.began if each.message.id in came_ms]
        assert len(waited_ms) == 24
        assert max(waited_ms) <= 100

    async def test_bots_that_hang_leave_the_others_their_share_of_the_ceiling(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue_for(broker, (*HANGING, *OTHERS), 90)
        worker = CallingWorker(broker, clock, half_hang())

        await worker.work(until_ms=START_MS + 20_000)

        others = [at_ms for at_ms, each in worker.began if each.message.bot_id in OTHERS]
        assert sum(at_ms >= START_MS + 2_000 for at_ms in others) >= 18 * 14  # half of 30 places, each for 1,060 ms

    async def test_bots_that_hang_have_half_of_the_ceiling_at_most_or_their_shares(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue_for(broker, (*HANGING, *OTHERS), 60, HIGH)
        worker = CallingWorker(broker, clock, half_hang())

        await worker.work(until_ms=START_MS + 10_000)

        assert 15 <= sum(worker.under_way(bot_id) for bot_id in HANGING) <= 15 + 3 * 3

    async def test_a_bot_alone_has_as_many_calls_under_way_as_its_limit_has_places(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue_for(broker, [1], 60)
        worker = CallingWorker(broker, clock, {1: HANGS_MS}, Pool(100))

        await worker.work(until_ms=START_MS + 5_000)

        assert worker.under_way(1) == 30

    async def test_a_bot_alone_whose_calls_take_three_seconds_sends_ten_a_second(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(Limits(), bot=Limit(30, 1), ceiling=NONE))
        await queue_for(broker, [1], 200)
        worker = CallingWorker(broker, clock, {1: 3_000}, Pool(100))

        await worker.work(until_ms=START_MS + 15_000)

        assert sum(at_ms >= START_MS + 3_000 for at_ms, _ in worker.began) >= 12 * 10

    async def test_of_a_bot_alone_beside_which_another_wrote_once_the_last_places_are_kept(
        self, broker: Broker, clock: Clock
    ) -> None:
        await meet(broker, 1, 2)
        clock.advance(2 * ACTIVE_MS)
        await queue_for(broker, [1], 60, HIGH)
        worker = CallingWorker(broker, clock, {1: HANGS_MS, 2: QUICK_MS})

        await worker.work(until_ms=clock() + 2_000)
        await queue(broker, [urgent(2, 1)])

        assert worker.under_way(1) == 28
        assert await leased_ids(broker) == ["urgent0001"]

    @pytest.mark.parametrize(("after_ms", "more"), [(0, 7), (SLOW_MS - 1, 7), (SLOW_MS, 0)])
    async def test_a_quick_bot_goes_on_above_its_share_and_a_slow_one_does_not(
        self, broker: Broker, clock: Clock, after_ms: int, more: int
    ) -> None:
        await meet(broker, *range(2, 10))
        clock.advance(1_002)
        await queue_for(broker, [2], 10, HIGH)
        assert len(await lease(broker)) == 10
        await queue_for(broker, [1], 40, HIGH)
        assert len(await lease(broker, slots=6)) == 6

        clock.advance(after_ms)

        assert len(await lease(broker)) == more  # up to half of the ceiling, or none

    async def test_a_bot_whose_last_call_was_slow_borrows_nothing_until_one_was_quick(
        self, broker: Broker, clock: Clock
    ) -> None:
        await meet(broker, *range(2, 10))
        await queue_for(broker, [1], 1, HIGH)
        slow = await lease(broker)
        clock.advance(1_002)
        await settle(broker, slow)
        await queue_for(broker, [2], 14, HIGH)
        assert len(await lease(broker)) == 14
        await queue(broker, many(20, prefix="then", bot_id=1, priority=HIGH))

        assert len(await lease(broker)) == 3

    async def test_what_is_left_to_other_bots_says_that_it_waits_for_the_ceiling(
        self, broker: Broker, clock: Clock
    ) -> None:
        await meet(broker, 1, 2)
        await queue_for(broker, [1], 30, HIGH)
        await lease(broker)
        clock.advance(SLOW_MS)

        assert await waits_at(broker, "b1-high-0029") is WaitsAt.CEILING

    async def test_the_last_places_of_the_ceiling_are_kept_for_high(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(30, 1_000), saved_up=30))
        await meet(broker, *range(1, 31))
        clock.advance(2_000)
        for bot_id in range(1, 31):
            await queue(broker, [outgoing(f"bulk{bot_id:02}", bot_id=bot_id)])

        bulk = await lease(broker)
        await queue(broker, [urgent(31, 1), urgent(32, 2)])

        assert len(bulk) == 28
        assert await leased_ids(broker) == ["urgent0001", "urgent0002"]

    async def test_a_share_grows_when_another_bot_is_no_longer_active(self, broker: Broker, clock: Clock) -> None:
        await meet(broker, 1, 2)
        await queue_for(broker, [1], 30, HIGH)
        before = await lease(broker)
        clock.advance(SLOW_MS)
        leased = await broker.lease(worker_id="worker", slots=BATCH_MAX)

        woken: list[Lease] = []
        while leased.wake_at_ms is not None and not woken:
            clock.now_ms = leased.wake_at_ms
            leased = await broker.lease(worker_id="worker", slots=BATCH_MAX)
            woken = [*leased.leases]

        assert len(before) == 15
        assert clock() - START_MS <= SLOW_MS + 2 * ACTIVE_MS
        assert len(woken) == 28 - 15

    async def test_an_album_of_a_bot_that_is_passed_over_saves_nothing_up(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(30, 1_000)))
        await meet(broker, 1, 2)
        await queue_for(broker, [1], 15, HIGH)
        await lease(broker)
        clock.advance(SLOW_MS)

        await queue(broker, [outgoing("album", bot_id=1, chat_id=-7, cost=10, priority=HIGH)])
        await queue(broker, [urgent(2, 1)])

        assert await leased_ids(broker) == ["urgent0001"]

    async def test_what_takes_no_place_goes_though_its_bot_has_its_share_of_the_ceiling(
        self, broker: Broker, clock: Clock
    ) -> None:
        await meet(broker, 1, 2)
        await queue_for(broker, [1], 30, HIGH)
        await lease(broker)
        clock.advance(SLOW_MS)
        assert await lease(broker) == []

        await queue(broker, [outgoing("delete", bot_id=1, chat_id=-7, cost=0, method="deleteMessage", priority=HIGH)])

        assert await leased_ids(broker) == ["delete"]

    async def test_an_album_saves_up_no_longer_than_its_bot_is_quick(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(30, 1_000)))
        await meet(broker, *range(1, 11))
        clock.advance(1_002)
        await queue_for(broker, [1, 2], 11, HIGH)
        assert len(await lease(broker)) == 22
        await queue(broker, [outgoing("album", bot_id=1, chat_id=-7, cost=10, priority=HIGH)])
        await queue(broker, [urgent(3, 1)])

        before = await broker.lease(worker_id="worker", slots=BATCH_MAX)
        assert before.wake_at_ms == clock() + SLOW_MS
        clock.advance(SLOW_MS)

        assert await leased_ids(broker) == ["urgent0001"]

    async def test_an_album_that_waits_while_more_than_half_of_the_ceiling_is_free_wakes_none_when_its_bot_is_slow(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(4, 10_000)))
        await meet(broker, 1, 2)
        await queue(broker, many(1, priority=HIGH))
        await lease(broker)
        await queue(broker, [outgoing("album", bot_id=1, chat_id=-7, cost=3, priority=HIGH)])
        pool = Pool(2)
        pool.begin(1, "call", 1, clock())

        leased = await broker.lease(worker_id="worker", slots=1, connections=Connections(pool, 1, clock()))

        assert leased.leases == ()
        assert leased.wake_at_ms == clock() + 10_001

    async def test_a_place_that_was_given_up_goes_to_a_bot_that_was_passed_over(
        self, broker: Broker, clock: Clock
    ) -> None:
        await meet(broker, 1, 2)
        await queue_for(broker, [1], 30, HIGH)
        flying = await lease(broker)
        clock.advance(SLOW_MS)
        assert await lease(broker) == []

        await settle(broker, flying[:3], age_ms=None)

        assert len(await lease(broker)) == 3

    async def test_a_bot_gets_no_more_of_a_workers_connections_than_its_share(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue_for(unlimited, [1, 2], 20, HIGH)
        pool = Pool(30)
        for number in range(14):
            pool.begin(1, number, 1, clock())
        pool.begin(2, "call", 1, clock())
        clock.advance(SLOW_MS)

        connections = Connections(pool, 15, clock())
        leased = await unlimited.lease(worker_id="worker", slots=15, connections=connections)

        assert Counter(each.message.bot_id for each in leased.leases) == {2: 13}
        assert leased.is_kept_back

    async def test_what_one_worker_has_no_connection_for_another_may_send(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue_for(unlimited, [1], 20)
        pool = exhausted(clock)
        kept_back = await unlimited.lease(worker_id="one", slots=2, connections=Connections(pool, 2, clock()))

        assert kept_back.leases == ()
        assert kept_back.is_kept_back
        assert kept_back.wake_at_ms is None
        assert len(await lease(unlimited)) == 20

    async def test_an_admission_that_one_worker_has_no_connection_for_wakes_the_others(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        pool = exhausted(clock)
        await lease(unlimited)

        connections = Connections(pool, 2, clock())
        await unlimited.admit(many(1), worker_id="one", slots=1, connections=connections)

        await unlimited.wait(None)
