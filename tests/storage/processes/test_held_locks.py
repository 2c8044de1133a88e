"""Which processes live, and whether one leads, as it was read last: what is known need not be asked."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import Row, event

from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import parse, reading_engine
from tempogram.storage.processes import held_locks as held_locks_of
from tempogram.storage.processes import membership as membership_of
from tempogram.storage.processes.epochs import SqlEpochs
from tempogram.storage.processes.held_locks import HALF_BITS, LEADER_LOCK, PROCESS_LOCKS, READ_WITHIN_S, HeldLocks
from tempogram.storage.processes.leadership import SEEN_WITHIN_S, leadership
from tempogram.storage.processes.membership import SqlMembership, membership
from tempogram.storage.processes.session_lock import CONFIRM_S, SessionLock
from tests.storage.backends import OnPostgres
from tests.storage.servers import DISCONNECT_OTHERS, run


class Seconds:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def read(*processes: int, has_leader: bool = True) -> Row[tuple[int]]:
    """Return what PostgreSQL does if these processes live."""
    ids = [(PROCESS_LOCKS << HALF_BITS) | each for each in processes] + [LEADER_LOCK] * has_leader
    return cast("Row[tuple[int]]", SimpleNamespace(ids=ids or None, pids=[7] * len(ids) or None))


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def held_locks(seconds: Seconds, monkeypatch: pytest.MonkeyPatch) -> HeldLocks:
    monkeypatch.setattr(held_locks_of, "WITHOUT_LEADER_S", 0.01)
    return HeldLocks(seconds=seconds, sleep=seconds.sleep)


async def test_a_process_that_is_read_no_more_has_died(held_locks: HeldLocks) -> None:
    held_locks.note(read(1, 2))
    waiting = asyncio.create_task(held_locks.death())
    await asyncio.sleep(0.03)
    held_locks.note(read(1, 2, 3))
    await asyncio.sleep(0.03)
    waited = not waiting.done()

    held_locks.note(read(1, 3))

    async with asyncio.timeout(5):
        await waiting
    assert waited
    assert held_locks.processes == {1, 3}


async def test_a_process_that_may_just_have_lost_its_connection_has_time_to_connect_again(
    held_locks: HeldLocks, seconds: Seconds
) -> None:
    held_locks.note(read(1, 2))
    held_locks.note(read(1))

    await held_locks.death()

    assert seconds.now_s == held_locks_of.RETAKEN_WITHIN_S


@pytest.mark.parametrize("is_read", [True, False])
async def test_while_no_leader_tells_of_deaths_each_process_looks_by_itself(
    held_locks: HeldLocks, seconds: Seconds, *, is_read: bool
) -> None:
    held_locks.note(read(1, has_leader=not is_read))
    seconds.now_s += 0 if is_read else READ_WITHIN_S + 1

    async with asyncio.timeout(5):
        await held_locks.death()


class TestHeldLocksOnPostgres(OnPostgres):
    async def test_a_process_that_has_seen_another_lead_tries_again_after_it_has_read_that_none_does(
        self, url: str, database: Database, seconds: Seconds
    ) -> None:
        held_locks = HeldLocks(seconds=seconds)
        epochs = SqlEpochs(database, held_locks=held_locks)
        async with leadership(url, LEADER_LOCK) as other, leadership(url, LEADER_LOCK, held_locks) as mine:
            await other.leads()
            await epochs.current()
            await other.resign()
            as_seen = await mine.leads()
            await epochs.current()

            assert [as_seen, await mine.leads()] == [False, True]

    async def test_a_process_that_has_read_nothing_for_long_tries_to_lead(
        self, url: str, database: Database, seconds: Seconds
    ) -> None:
        held_locks = HeldLocks(seconds=seconds)
        async with leadership(url, LEADER_LOCK) as other, leadership(url, LEADER_LOCK, held_locks) as mine:
            await other.leads()
            await SqlEpochs(database, held_locks=held_locks).current()
            await other.resign()
            seconds.now_s += SEEN_WITHIN_S + 1

            assert await mine.leads()

    async def test_all_hear_when_a_process_begins_to_lead_or_resigns(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(membership_of, "CHECK_EVERY_S", 0.01)
        async with membership(url, 1) as announcements, leadership(url, LEADER_LOCK, HeldLocks()) as mine:
            begun = await announcements.next(within_s=10)  # that it hears from now on
            await mine.leads()
            elected = await announcements.next(within_s=10)
            await mine.resign()
            resigned = await announcements.next(within_s=10)

            assert (begun, elected, resigned) == (True, True, True)
            assert not await announcements.next(within_s=0.05)

    async def test_the_leader_tells_all_that_a_process_has_died(
        self, url: str, database: Database, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(membership_of, "CHECK_EVERY_S", 0.01)
        members = SqlMembership(database, HeldLocks(seconds=seconds))
        async with membership(url, 1) as announcements:
            await announcements.next(within_s=10)
            async with membership(url, 2):
                assert await members.alive() == {1, 2}
            seconds.now_s += 2

            assert await members.alive() == {1}
            assert await announcements.next(within_s=10)

    async def test_a_lock_that_was_read_with_the_epoch_is_confirmed_without_a_question(
        self, url: str, database: Database, seconds: Seconds
    ) -> None:
        held_locks, asked = HeldLocks(seconds=seconds), list[str]()
        engine = reading_engine(parse(url))
        lock = SessionLock(engine, LEADER_LOCK, held_locks=held_locks)
        await lock.take()
        lock._confirmed_at_s -= CONFIRM_S
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *said: asked.append(said[2]))

        await SqlEpochs(database, held_locks=held_locks).current()
        is_held = await lock.is_held(within_s=CONFIRM_S)
        unasked = list(asked)
        seconds.now_s += CONFIRM_S + 1
        is_held_later = await lock.is_held(within_s=CONFIRM_S)
        await lock.release()
        await engine.dispose()

        assert (is_held, unasked, is_held_later, len(asked)) == (True, [], True, 1)

    async def test_a_lock_whose_connection_was_closed_is_lost_whatever_was_read(
        self, url: str, database: Database, seconds: Seconds
    ) -> None:
        held_locks = HeldLocks(seconds=seconds)
        engine = reading_engine(parse(url))
        lock = SessionLock(engine, LEADER_LOCK, held_locks=held_locks)
        await lock.take()
        await SqlEpochs(database, held_locks=held_locks).current()
        await run(url, DISCONNECT_OTHERS)
        await asyncio.sleep(0.05)

        assert not await lock.is_held(within_s=CONFIRM_S)
        await engine.dispose()
