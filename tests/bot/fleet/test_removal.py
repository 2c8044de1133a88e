"""The messages of a removed bot, with a real queue and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from tempogram.api.core.ports import RemovalProgress
from tempogram.bot.fleet import removal
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.removal import Removals
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.closer import ENDED_MAX, Closer
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Again, Lease, Settlement, Status
from tempogram.engine.ports import Fault
from tempogram.engine.recovery.rebuild import rebuild
from tempogram.engine.recovery.settings_sync import resume_with_token
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
        self.started_sleeping = asyncio.Event()
        self._may_end = asyncio.Event()

    async def sleep(self, _seconds: float) -> None:
        self.started_sleeping.set()
        await self._may_end.wait()

    async def end(self) -> None:
        await soon(self.started_sleeping)
        self._may_end.set()


@dataclass
class Process:
    """One process with a queue and a fleet in memory."""

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
        return (await self.removals.complete(BOT_ID, keep_messages=keep_messages)).cancelled

    async def is_removed(self) -> None:
        """Wait until the removal is complete, and the token forgotten."""
        async with asyncio.timeout(5):
            await self.removals.wait()
        assert self.fleet.registry.token_of(BOT_ID) is None


def closer_of(ledger: SqlLedger, broker: MemoryBroker, results: MemoryResults, clock: Clock) -> Closer:
    return Closer(ledger=ledger, broker=broker, results=results, conditions=Conditions(clock), clock=clock)


@pytest.fixture
async def processes(database: Database, clock: Clock) -> AsyncIterator[list[Process]]:
    """Two processes on one database; the second starts after the first has ended."""
    async with fleet_world(database, clock) as world, AsyncExitStack() as stack:
        await world.new_fleet().add(TOKEN, None)
        processes = []
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
                conditions=Conditions(clock),
                clock=clock,
                sleep=pauses.sleep,
            )
            fleet.when_token_stored(partial(resume_with_token, ledger, broker))
            stack.push_async_callback(removals.end)
            processes.append(Process(world, fleet, ledger, MessageHistory(database), broker, results, pauses, removals))
        await processes[0].fleet.load()
        yield processes


@pytest.fixture
def process(processes: list[Process]) -> Process:
    return processes[0]


async def started(process: Process, clock: Clock) -> Process:
    """Start a process as the program does."""
    closer = closer_of(process.ledger, process.broker, process.results, clock)
    await rebuild(process.ledger, process.broker, closer, UNLIMITED, clock)
    await process.fleet.load()
    await process.removals.resume()
    clock.advance(60_000)
    return process


async def test_waiting_messages_are_cancelled_and_counted_and_their_callers_notified(process: Process) -> None:
    waiting = [await process.submit(chat_id=chat) for chat in range(1, 121)]
    expected = process.results.expect(waiting[0])

    cancelled = await process.remove()

    assert cancelled == 120
    assert {await process.status(each) for each in waiting} == {Status.CANCELLED}
    assert (await expected).status is Status.CANCELLED
    assert (await process.broker.stats()).bots == {}


async def test_a_call_under_way_keeps_its_token_and_is_cancelled_if_it_comes_back_unsent(process: Process) -> None:
    sending = await process.submit()
    [lease] = await process.leased()
    cancelled = await process.remove()
    during = await process.status(sending), process.fleet.registry.token_of(BOT_ID)

    await process.broker.settle([Settlement(lease, Again(0), None)])
    again = await process.leased()
    await process.pauses.end()
    await process.is_removed()

    assert cancelled == 0
    assert during == (Status.QUEUED, TOKEN)
    assert again == ()
    assert await process.status(sending) is Status.CANCELLED
    assert await process.world.bots.removed() == {BOT_ID: Removal.DONE}


async def test_a_waiting_message_whose_id_is_ahead_of_the_clock_is_cancelled(process: Process) -> None:
    """Ids continue after the highest one, also if the clock of an earlier run was ahead."""
    process.world.clock.advance(60_000)
    await process.submit()
    process.world.clock.advance(-60_000)
    await process.submit()

    assert await process.remove() == 2


async def test_a_message_being_admitted_is_cancelled_in_the_next_round(process: Process) -> None:
    message = outgoing(IDS.new(process.world.clock()), bot_id=BOT_ID)
    await process.ledger.add([message])

    await process.remove()
    await process.broker.admit([message], worker_id="", slots=0)
    await process.pauses.end()
    await process.is_removed()

    assert await process.status(message.id) is Status.CANCELLED


async def test_nothing_is_sent_after_a_crash_that_follows_the_removal(processes: list[Process], clock: Clock) -> None:
    waiting = await processes[0].submit()
    await processes[0].fleet.remove(BOT_ID, keep_messages=False)  # and it is killed before anything is cancelled

    later = await started(processes[1], clock)
    leased = await later.leased()
    await later.pauses.end()
    await later.is_removed()

    assert leased == ()
    assert await later.status(waiting) is Status.CANCELLED
    assert await later.world.bots.removed() == {BOT_ID: Removal.DONE}


async def test_a_removal_that_takes_long_tells_how_many_it_has_cancelled_so_far(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "ANSWER_WITHIN_S", 0.5)
    for chat in range(1, ENDED_MAX + 2):
        await process.submit(chat_id=chat)
    goes_on, end_many = asyncio.Event(), process.ledger.end_many

    async def stop_at_the_last(message_ids: Sequence[str], *, status: Status, fault: Fault, now_ms: int) -> None:
        if len(message_ids) == 1:
            await goes_on.wait()
        await end_many(message_ids, status=status, fault=fault, now_ms=now_ms)

    monkeypatch.setattr(process.ledger, "end_many", stop_at_the_last)
    await process.fleet.remove(BOT_ID, keep_messages=False)

    first = await process.removals.complete(BOT_ID, keep_messages=False)
    goes_on.set()
    second = await process.removals.progress(BOT_ID)
    await process.pauses.end()
    await process.is_removed()

    assert first == RemovalProgress(ENDED_MAX, is_complete=False)
    assert second == RemovalProgress(ENDED_MAX + 1, is_complete=True)
    assert await process.removals.progress(BOT_ID) is None


async def test_a_removal_that_was_cut_off_goes_on_when_it_is_asked_for_again(
    processes: list[Process], clock: Clock
) -> None:
    waiting = await processes[0].submit()
    await processes[0].fleet.remove(BOT_ID, keep_messages=False)  # and it is killed before anything is cancelled

    later = await started(processes[1], clock)
    progress = await later.removals.progress(BOT_ID)

    assert progress == RemovalProgress(1, is_complete=True)
    assert await later.status(waiting) is Status.CANCELLED


async def test_a_removal_is_continued_by_the_process_that_is_asked_though_it_has_not_begun_it(
    processes: list[Process], clock: Clock
) -> None:
    waiting = await processes[0].submit()
    await processes[0].fleet.remove(BOT_ID, keep_messages=False)  # and it is killed before anything is cancelled
    other = processes[1]
    await rebuild(
        other.ledger, other.broker, closer_of(other.ledger, other.broker, other.results, clock), UNLIMITED, clock
    )
    await other.fleet.load()

    progress = await other.removals.progress(BOT_ID)

    assert progress == RemovalProgress(1, is_complete=True)
    assert await other.status(waiting) is Status.CANCELLED


@pytest.mark.parametrize(
    "add",
    [lambda fleet: fleet.add(TOKEN, None), lambda fleet: fleet.add_unverified(TOKEN)],
    ids=["while Telegram can be asked", "while it cannot"],
)
async def test_kept_messages_wait_over_a_restart_until_their_bot_is_added_again(
    processes: list[Process], clock: Clock, add: Callable[[Fleet], Awaitable[int]]
) -> None:
    kept = await processes[0].submit()
    cancelled = await processes[0].remove(keep_messages=True)
    before = await processes[0].leased()

    later = await started(processes[1], clock)
    after = await later.leased()
    await add(later.fleet)

    assert (cancelled, before, after) == (0, (), ())
    assert [lease.message.id for lease in await later.leased()] == [kept]


async def test_a_bot_added_again_at_once_keeps_its_new_messages(process: Process) -> None:
    old = await process.submit()
    await process.remove()

    await process.fleet.add(TOKEN, None)
    new = await process.submit()
    await process.pauses.end()
    await process.removals.wait()

    assert await process.status(old) is Status.CANCELLED
    assert [lease.message.id for lease in await process.leased()] == [new]
    assert process.fleet.registry.token_of(BOT_ID) == TOKEN
