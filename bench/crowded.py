"""Behind a large backlog, how long does a late message wait?

Question    How long does an urgent message wait behind a million low ones of a thousand bots? And when are nine small
            bots through, behind one with a hundred thousand?
Workload    Default limits, on a virtual clock, so what is measured is the order and not the machine; an answer takes no
            time. (a) 1,000,000 low messages to 100,000 chats of 1,000 bots, at work for two seconds; then 20 times, at
            moments that drift over a slot, one high message of another bot. The same with nothing else queued.
            (b) 100,000 normal messages of one bot to 1,000 chats, at work for two seconds; then nine bots with 20, 30
            ... 100 messages each, to as many chats, at once.
Measured    (a) Virtual time from the admission to the lease, and how many were leased in between. (b) When the last
            message of each small bot left, and when it would have if the ceiling were shared out evenly among all bots
            that have something to send, by the message.
Checked     On both brokers: (a) the wait is at most a slot (1/30 s) longer than with nothing queued; (b) each small bot
            is done within 10 % of its fair time.

    python -m bench.crowded [--small]

--small takes 20,000 instead of a million. Without a redis-server, Redis is left out and said so.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from bench.harness import Checks, main, spread
from bench.redis_clients import BATCH, BOTS, CHATS, clients, own_redis, together
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Done, Lease, Outgoing, Priority, Settlement
from tempogram.engine.ports import Broker, SystemClock

QUESTION = "Behind a large backlog, how long does a late message wait?"
LIMITS = Limits(chat_cap=0, bot_cap=0)
RATE = LIMITS.ceiling.count
SLOT_MS = LIMITS.ceiling.window_ms / RATE
WAITING, BIG, BIG_CHATS = 1_000_000, 100_000, 1_000
SMALL = tuple(range(20, 110, 10))
URGENT, EVERY_MS = 20, 1_007
AHEAD_MS = 3_600_000
"""How far the virtual clock is ahead of the machine's: no queue goes back in time."""


@dataclass
class Scene:
    """A broker on a virtual clock, and every message that was leased, with the time of its lease."""

    broker: Broker
    clock: VirtualClock
    ids: Ids = field(default_factory=Ids)
    left: list[tuple[int, Lease]] = field(default_factory=list)

    async def admit(self, messages: Iterable[Outgoing]) -> None:
        waiting = list(messages)
        for start in range(0, len(waiting), BATCH):
            await self.broker.admit(waiting[start : start + BATCH], worker_id="w", slots=0, capped=False)

    def message(self, bot_id: int, chat_id: int, priority: Priority) -> Outgoing:
        return Outgoing(
            id=self.ids.new(self.clock()),
            bot_id=bot_id,
            chat_id=chat_id,
            method="sendMessage",
            params=b"{}",
            priority=priority,
            submitted_at_ms=self.clock(),
        )

    async def work(self, *, until: Callable[[], bool]) -> None:
        """Lease all that may go, from one moment at which something may to the next."""
        while not until():
            leased = await self.broker.lease(worker_id="w", slots=BATCH)
            self.left += [(self.clock(), lease) for lease in leased.leases]
            if leased.leases:
                await self.broker.settle([Settlement(lease, Done(), 0) for lease in leased.leases])
            elif leased.wake_at_ms is not None:
                self.clock.now_ms = max(self.clock.now_ms + 1, min(leased.wake_at_ms, self.clock.until_ms))
            else:
                self.clock.now_ms = self.clock.until_ms

    async def pass_ms(self, ms: int) -> None:
        end_ms = self.clock.until_ms = self.clock.now_ms + ms
        await self.work(until=lambda: self.clock.now_ms >= end_ms)


@dataclass
class VirtualClock:
    """Advances when asked to, and not beyond ``until_ms`` when nothing else happens."""

    now_ms: int = field(default_factory=lambda: SystemClock()() + AHEAD_MS)
    until_ms: int = 0

    def __call__(self) -> int:
        return self.now_ms


Fill = Callable[[Scene, int], Awaitable[None]]


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    waiting = 20_000 if "--small" in sys.argv else WAITING
    for name, staged in (("memory", in_memory), ("Redis", in_redis)):
        if staged is in_redis and shutil.which("redis-server") is None:
            print("  Redis: no redis-server on the path; left out")
            continue
        async with staged() as (scene, _):
            alone = await urgent(scene)
        async with staged() as (scene, fill):
            await fill(scene, waiting)
            await scene.pass_ms(2_000)
            crowded = await urgent(scene)
        said = spread([wait_ms for wait_ms, _ in crowded], "ms", digits=0)
        before = max(leases for _, leases in crowded)
        print(f"  {name}, {waiting:,} low ones waiting: an urgent one after {said}, at most {before} before it")
        longest, allowed = max(crowded)[0], max(alone)[0] + SLOT_MS
        checks.that(longest <= allowed, f"{name}: the longest wait is {longest} ms, of {allowed:.0f}")
        async with staged() as (scene, _):
            await small_bots(checks, name, scene)


async def urgent(scene: Scene) -> list[tuple[int, int]]:
    """Return how long each urgent message waited, and how many were leased between."""
    waits = []
    for number in range(URGENT):
        await scene.pass_ms(EVERY_MS)
        message = scene.message(1, 1_000 + number, Priority.HIGH)
        at_ms, since = scene.clock.now_ms, len(scene.left)
        scene.clock.until_ms = at_ms + 10_000
        await scene.admit([message])
        await scene.work(until=partial(has_left, scene, since, message))
        order = [lease.message.id for _, lease in scene.left[since:]]
        place = order.index(message.id)
        waits.append((scene.left[since + place][0] - at_ms, place))
    return waits


def has_left(scene: Scene, since: int, message: Outgoing) -> bool:
    return any(lease.message.id == message.id for _, lease in scene.left[since:])


async def small_bots(checks: Checks, name: str, scene: Scene) -> None:
    await scene.admit(scene.message(1, 1 + number % BIG_CHATS, Priority.NORMAL) for number in range(BIG))
    await scene.pass_ms(2_000)
    at_ms, since = scene.clock.now_ms, len(scene.left)
    await scene.admit(
        scene.message(2 + bot, 1 + number, Priority.NORMAL)
        for bot, count in enumerate(SMALL)
        for number in range(count)
    )
    await scene.pass_ms(round(1_200 * max(fair_s(SMALL))))
    last_ms = {lease.message.bot_id: left_ms for left_ms, lease in scene.left[since:]}
    took_s = [(last_ms[2 + bot] - at_ms) / 1_000 for bot in range(len(SMALL))]
    shares = [took / fair for took, fair in zip(took_s, fair_s(SMALL), strict=True)]
    gone = sum(1 for _, lease in scene.left[since:] if lease.message.bot_id != 1)
    checks.that(gone == sum(SMALL), f"{name}: all {gone} of the small bots' messages left")
    print(f"  {name}, behind one with {BIG:,}: {', '.join(f'{each:.1f}' for each in took_s)} s")
    worst = max(shares, key=lambda share: abs(share - 1))
    checks.that(abs(worst - 1) <= 0.1, f"{name}: the furthest from its fair time took {worst:.0%} of it")


def fair_s(counts: Iterable[int]) -> list[float]:
    """Return when each is through, fewest first, if all of them and one with more share the ceiling evenly.

    >>> [round(each, 2) for each in fair_s([30, 60])]
    [3.0, 5.0]
    """
    finished, at_s, before, done = [], 0.0, 0, sorted(counts)
    for place, count in enumerate(done):
        at_s += (count - before) * (len(done) - place + 1) / RATE
        before = count
        finished.append(at_s)
    return finished


@asynccontextmanager
async def in_memory() -> AsyncIterator[tuple[Scene, Fill]]:
    clock = VirtualClock()
    yield Scene(MemoryBroker(LIMITS, clock=clock, lease_ms=30_000), clock), fill_here


async def fill_here(scene: Scene, count: int) -> None:
    await scene.admit(
        scene.message(7_000_000_000 + number % BOTS, 5_000_000_000 + number % CHATS, Priority.LOW)
        for number in range(count)
    )


@asynccontextmanager
async def in_redis() -> AsyncIterator[tuple[Scene, Fill]]:
    """Stage it on a server of its own, which four processes fill."""
    clock = VirtualClock()
    async with own_redis() as (_, url), connect(url) as redis:
        broker = RedisBroker(redis, LIMITS, lease_ms=30_000, clock=clock, begins=True)
        await broker.stats()

        async def fill(_: Scene, count: int) -> None:
            async with clients(url, 4) as several:
                await together(several, "low", count)

        yield Scene(broker, clock), fill


if __name__ == "__main__":
    main(QUESTION, bench)
