"""What becomes of the messages of a bot that is removed; the schedule is the real one, and so are the books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.removal import Removals
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Again, Lease, Settlement, Status
from tempogram.engine.recovery.pauses import end_of_pause
from tempogram.engine.recovery.rebuild import rebuild
from tempogram.engine.resilience.conditions import Conditions
from tempogram.storage.bots import Removal
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.messages import MessageHistory
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import World, fleet_world
from tests.engine.desk import LEASE_MS, UNLIMITED, soon
from tests.fakes import Clock, outgoing

IDS = Ids(process=1)


class Pauses:
    """Sleeps that end when the test says so."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._go_on = asyncio.Event()

    async def sleep(self, _seconds: float) -> None:
        self.begun.set()
        await self._go_on.wait()

    async def end(self) -> None:
        await soon(self.begun)
        self._go_on.set()


@dataclass
class House:
    """One process: its schedule and its fleet are lost with it."""

    world: World
    fleet: Fleet
    ledger: SqlLedger
    history: MessageHistory
    broker: MemoryBroker
    results: MemoryResults
    pauses: Pauses
    removals: Removals

    async def submit(self, *, chat_id: int = 7) -> str:
        message = outgoing(IDS.new(self.world.clock()), bot_id=BOT_ID, chat_id=chat_id)
        await self.ledger.add([message])
        await self.broker.admit([message], worker_id="", slots=0)
        return message.id

    async def leased(self) -> tuple[Lease, ...]:
        return (await self.broker.lease(worker_id="w", slots=9)).leases

    async def status(self, message_id: str) -> Status:
        state = await self.history.message(message_id)
        assert state is not None
        return state.status

    async def remove(self, *, keep_messages: bool = False) -> int:
        await self.fleet.remove(BOT_ID, keep_messages=keep_messages)
        return await self.removals.see_off(BOT_ID, keep_messages=keep_messages)

    async def is_seen_off(self) -> None:
        """Wait until its departure is over, and its token forgotten."""
        async with asyncio.timeout(5):
            await self.removals.over()
        assert self.fleet.registry.token_of(BOT_ID) is None


def closer_of(ledger: SqlLedger, broker: MemoryBroker, results: MemoryResults, clock: Clock) -> Closer:
    return Closer(ledger=ledger, broker=broker, results=results, conditions=Conditions(clock), clock=clock)


@pytest.fixture
async def houses(database: Database, clock: Clock) -> AsyncIterator[list[House]]:
    """Two processes on the same books; the second is to be started when the first is gone."""
    async with fleet_world(database, clock) as world, AsyncExitStack() as stack:
        await world.new_fleet().add(TOKEN, None)
        houses = []
        for _ in range(2):
            ledger, results, pauses = SqlLedger(database), MemoryResults(), Pauses()
            broker, fleet = MemoryBroker(UNLIMITED, clock=clock, lease_ms=LEASE_MS), world.new_fleet()
            removals = Removals(
                registry=fleet.registry,
                bots=world.bots,
                broker=broker,
                closer=closer_of(ledger, broker, results, clock),
                calls_end_within_s=30,
                ids=IDS,
                clock=clock,
                sleep=pauses.sleep,
            )
            fleet.when_proved(partial(end_of_pause, ledger, broker))
            stack.push_async_callback(removals.end)
            houses.append(House(world, fleet, ledger, MessageHistory(database), broker, results, pauses, removals))
        await houses[0].fleet.load()
        yield houses


@pytest.fixture
def house(houses: list[House]) -> House:
    return houses[0]


async def started(house: House, clock: Clock) -> House:
    """Start a process as the program does."""
    closer = closer_of(house.ledger, house.broker, house.results, clock)
    await rebuild(house.ledger, house.broker, closer, UNLIMITED, clock)
    await house.fleet.load()
    await house.removals.resume()
    clock.advance(60_000)
    return house


async def test_what_waits_is_cancelled_and_counted_and_whoever_waits_for_it_is_told(house: House) -> None:
    waiting = [await house.submit(chat_id=chat) for chat in range(1, 121)]
    told = house.results.expect(waiting[0])

    cancelled = await house.remove()

    assert cancelled == 120
    assert {await house.status(each) for each in waiting} == {Status.CANCELLED}
    assert (await told).status is Status.CANCELLED
    assert (await house.broker.stats()).bots == {}


async def test_a_call_under_way_keeps_its_token_and_is_cancelled_when_it_comes_back_unsent(house: House) -> None:
    sending = await house.submit()
    [lease] = await house.leased()
    cancelled = await house.remove()
    during = await house.status(sending), house.fleet.registry.token_of(BOT_ID)

    await house.broker.settle([Settlement(lease, Again(0), None)])
    again = await house.leased()
    await house.pauses.end()
    await house.is_seen_off()

    assert cancelled == 0
    assert during == (Status.QUEUED, TOKEN)
    assert again == ()
    assert await house.status(sending) is Status.CANCELLED
    assert await house.world.bots.removed() == {BOT_ID: Removal.DONE}


async def test_what_waits_is_cancelled_though_its_id_is_ahead_of_the_clock(house: House) -> None:
    """Ids go on after the highest one, also when the clock of one run was ahead."""
    house.world.clock.advance(60_000)
    await house.submit()
    house.world.clock.advance(-60_000)
    await house.submit()

    assert await house.remove() == 2


async def test_what_was_on_its_way_into_the_schedule_is_cancelled_in_the_next_round(house: House) -> None:
    message = outgoing(IDS.new(house.world.clock()), bot_id=BOT_ID)
    await house.ledger.add([message])

    await house.remove()
    await house.broker.admit([message], worker_id="", slots=0)
    await house.pauses.end()
    await house.is_seen_off()

    assert await house.status(message.id) is Status.CANCELLED


async def test_a_crash_after_the_removal_leaves_nothing_that_is_sent(houses: list[House], clock: Clock) -> None:
    waiting = await houses[0].submit()
    await houses[0].fleet.remove(BOT_ID, keep_messages=False)  # and it is killed before anything is cancelled

    later = await started(houses[1], clock)
    leased = await later.leased()
    await later.pauses.end()
    await later.is_seen_off()

    assert leased == ()
    assert await later.status(waiting) is Status.CANCELLED
    assert await later.world.bots.removed() == {BOT_ID: Removal.DONE}


@pytest.mark.parametrize(
    "add",
    [lambda fleet: fleet.add(TOKEN, None), lambda fleet: fleet.add_unasked(TOKEN)],
    ids=["while Telegram can be asked", "while it cannot"],
)
async def test_messages_that_are_kept_wait_also_over_a_restart_until_their_bot_is_added_again(
    houses: list[House], clock: Clock, add: Callable[[Fleet], Awaitable[int]]
) -> None:
    kept = await houses[0].submit()
    cancelled = await houses[0].remove(keep_messages=True)
    before = await houses[0].leased()

    later = await started(houses[1], clock)
    after = await later.leased()
    await add(later.fleet)

    assert (cancelled, before, after) == (0, (), ())
    assert [lease.message.id for lease in await later.leased()] == [kept]


async def test_a_bot_that_is_added_again_at_once_keeps_its_new_messages(house: House) -> None:
    old = await house.submit()
    await house.remove()

    await house.fleet.add(TOKEN, None)
    new = await house.submit()
    await house.pauses.end()
    await house.removals.over()

    assert await house.status(old) is Status.CANCELLED
    assert [lease.message.id for lease in await house.leased()] == [new]
    assert house.fleet.registry.token_of(BOT_ID) == TOKEN
