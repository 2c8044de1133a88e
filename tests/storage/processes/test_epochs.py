"""Which schedule leases come from: one row, that only one of two can change."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tempogram.engine.ports.epochs import NO_SCHEMA, Epoch, LeaseSource
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import READERS
from tempogram.storage.processes import membership as membership_of
from tempogram.storage.processes.epochs import SqlEpochs
from tempogram.storage.processes.membership import membership
from tests.storage.backends import OnPostgres, OnSqlite
from tests.storage.servers import DISCONNECT_OTHERS, run


class EpochsContract:
    async def test_the_first_epoch_is_of_redis_and_of_no_process(self, database: Database) -> None:
        assert await SqlEpochs(database).current() == Epoch(0, LeaseSource.REDIS, NO_SCHEMA)

    async def test_the_process_that_begins_an_epoch_owns_it_and_all_read_it(self, database: Database) -> None:
        mine, other = SqlEpochs(database), SqlEpochs(database)

        begun = await mine.advance(await mine.current(), LeaseSource.LEADER, schema=3)

        assert begun == await mine.current() == Epoch(1, LeaseSource.LEADER, 3, is_own=True)
        assert await other.current() == Epoch(1, LeaseSource.LEADER, 3, is_own=False)

    async def test_each_epoch_follows_the_one_before(self, database: Database) -> None:
        epochs = SqlEpochs(database)
        for source in (LeaseSource.LEADER, LeaseSource.REDIS, LeaseSource.LEADER, LeaseSource.LEADER):
            await epochs.advance(await epochs.current(), source, schema=3)

        assert await epochs.current() == Epoch(4, LeaseSource.LEADER, 3, is_own=True)

    async def test_a_process_that_knows_an_older_epoch_begins_none(self, database: Database) -> None:
        late, quick = SqlEpochs(database), SqlEpochs(database)
        first = await late.current()
        second = await quick.advance(first, LeaseSource.LEADER, schema=3)
        await quick.advance(second, LeaseSource.REDIS, schema=3)

        assert await late.advance(first, LeaseSource.LEADER, schema=3) == Epoch(2, LeaseSource.REDIS, 3)
        assert await late.advance(second, LeaseSource.LEADER, schema=3) == Epoch(2, LeaseSource.REDIS, 3)

    async def test_of_processes_that_begin_the_next_epoch_at_once_one_owns_it(self, database: Database) -> None:
        many = [SqlEpochs(database) for _ in range(8)]
        for source in (LeaseSource.LEADER, LeaseSource.REDIS):
            now = await many[0].current()
            begun = await asyncio.gather(*(each.advance(now, source, schema=3) for each in many))

            assert [each.is_own for each in begun].count(True) == 1
            assert {(each.number, each.source) for each in begun} == {(now.number + 1, source)}

    async def test_a_process_of_another_schema_is_counted_in_the_present_epoch(self, database: Database) -> None:
        leader, other = SqlEpochs(database), SqlEpochs(database)
        first = await leader.advance(await leader.current(), LeaseSource.REDIS, schema=4)
        await other.bypass(first)
        second = await leader.advance(first, LeaseSource.REDIS, schema=5)

        await asyncio.gather(other.bypass(first), other.bypass(second), other.bypass(second))

        assert (await leader.current()).bypassed == 3

    async def test_the_epoch_is_read_though_all_connections_of_the_database_are_in_use(
        self, url: str, database: Database
    ) -> None:
        readers = Database.open_read_only(url)
        async with AsyncExitStack() as in_use, asyncio.timeout(5):
            for _ in range(READERS):
                await in_use.enter_async_context(database.reading())

            assert (await SqlEpochs(database, readers=readers).current()).number == 0
        await readers.close()


class TestEpochsOnSqlite(OnSqlite, EpochsContract):
    pass


class TestEpochsOnPostgres(OnPostgres, EpochsContract):
    async def test_a_process_hears_of_an_epoch_at_once_and_of_the_end_of_hearing(
        self, url: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(membership_of, "CHECK_EVERY_S", 0.01)
        async with membership(url, 1) as announcements, asyncio.timeout(10):
            epochs = SqlEpochs(database, announcements=announcements)
            await epochs.next(within_s=10)  # that it hears from now on: what came before was missed
            assert epochs.are_announced

            await SqlEpochs(database).advance(await epochs.current(), LeaseSource.REDIS, schema=3)
            await epochs.next(within_s=10)
            assert (await epochs.current()).number == 1

            monkeypatch.setattr(membership_of, "CHECK_EVERY_S", 60)
            await asyncio.sleep(0.02)
            await run(url, DISCONNECT_OTHERS)
            await epochs.next(within_s=10)
            assert not epochs.are_announced
