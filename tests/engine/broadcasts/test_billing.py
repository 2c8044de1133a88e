from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from tempogram.engine.broadcasts.billing import ASK_EVERY_MS, FINAL_MS, LAG_MS, Billing
from tempogram.engine.model.broadcasts import Broadcast, BroadcastState, Content, Plan, Stars
from tempogram.engine.model.selection import Selection
from tests.fakes import START_MS, Clock
from tests.memory_broadcasts import MemoryBroadcastStore

PAID = Content(method="sendMessage", params={"text": "hello", "allow_paid_broadcast": True})


@dataclass
class Telegram:
    billed: int | None = 7
    asked: list[tuple[int, int, int]] = field(default_factory=list)

    async def __call__(self, bot_id: int, since_ms: int, until_ms: int) -> int | None:
        self.asked.append((bot_id, since_ms, until_ms))
        await asyncio.sleep(0)
        return self.billed


class World:
    def __init__(self) -> None:
        self.clock, self.store, self.telegram = Clock(), MemoryBroadcastStore(), Telegram()
        self.billing = Billing(self.store, billed=self.telegram, clock=self.clock)

    async def ended(self, content: Content = PAID) -> Broadcast:
        plan = Plan(selection=Selection(bot_id=42), content=content)
        made = await self.store.create("news", plan, now_ms=START_MS)
        done = replace(made, state=BroadcastState.DONE, started_at_ms=START_MS - 5_000, ended_at_ms=START_MS)
        self.store.rows[made.id] = done
        return done

    async def look(self, broadcast: Broadcast) -> Stars | None:
        return (await self.billing.of(self.store.rows[broadcast.id])).stars


async def test_telegram_is_asked_of_the_time_of_a_paid_broadcast() -> None:
    world = World()
    paid = await world.ended()

    stars = await world.look(paid)

    assert stars == Stars(purse_places=0, nanostars_billed=7, asked_at_ms=START_MS)
    assert world.telegram.asked == [(42, START_MS - 5_000, START_MS + LAG_MS)]
    assert world.store.rows[paid.id].stars == stars


async def test_telegram_is_not_asked_of_a_broadcast_that_is_free_or_still_runs() -> None:
    world = World()
    free = await world.ended(Content(method="sendMessage", params={"text": "hello"}))
    running = replace(await world.ended(), ended_at_ms=None)

    assert (await world.look(free), (await world.billing.of(running)).stars) == (None, None)
    assert world.telegram.asked == []


async def test_telegram_is_asked_once_a_minute_until_the_answer_is_final() -> None:
    world = World()
    paid = await world.ended()

    for wait_ms, asked in ((0, 1), (ASK_EVERY_MS - 1, 1), (1, 2), (FINAL_MS, 3), (FINAL_MS, 3)):
        world.clock.advance(wait_ms)
        await world.look(paid)
        assert len(world.telegram.asked) == asked


async def test_what_was_known_stays_if_telegram_does_not_answer() -> None:
    world = World()
    paid = await world.ended()
    world.telegram.billed = None

    first = await world.look(paid)
    world.telegram.billed = 9
    world.clock.advance(ASK_EVERY_MS)
    second = await world.look(paid)
    world.telegram.billed = None
    world.clock.advance(ASK_EVERY_MS)
    third = await world.look(paid)

    assert [each and each.nanostars_billed for each in (first, second, third)] == [None, 9, 9]


async def test_however_many_look_at_once_telegram_is_asked_once() -> None:
    world = World()
    paid = await world.ended()

    seen = await asyncio.gather(*(world.look(paid) for _ in range(20)))

    assert len(world.telegram.asked) == 1
    assert seen[0] == Stars(purse_places=0, nanostars_billed=7, asked_at_ms=START_MS)


async def test_a_telegram_without_an_answer_is_asked_once_an_hour_in_the_end() -> None:
    world = World()
    paid = await world.ended()
    world.telegram.billed = None

    for _ in range(4 * 60):
        await world.look(paid)
        world.clock.advance(ASK_EVERY_MS)

    assert len(world.telegram.asked) == 60 + 3


async def test_the_purse_keeps_what_it_counted_though_calls_are_deleted() -> None:
    world = World()
    paid = await world.ended()
    await world.store.note_stars(
        paid.id, Stars(purse_places=12, nanostars_billed=None, asked_at_ms=START_MS), over=None
    )
    world.clock.advance(ASK_EVERY_MS)

    stars = await world.look(paid)

    assert stars is not None
    assert stars.purse_places == 12
