"""One process leads; when its connection breaks, another may."""

from __future__ import annotations

from tempogram.storage.processes.exclusive_lock import exclusive_lock
from tempogram.storage.processes.held_locks import LEADER_LOCK
from tempogram.storage.processes.leadership import UPDATE_SOURCES_LOCK, UPKEEP_LOCK, leadership
from tests.storage.backends import OnPostgres, OnSqlite
from tests.storage.servers import DISCONNECT_OTHERS, run


class TestLeadershipOnSqlite(OnSqlite):
    async def test_the_only_process_of_a_sqlite_file_leads(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine:
            assert await mine.leads()


class TestLeadershipOnPostgres(OnPostgres):
    async def test_one_of_two_processes_leads_and_keeps_leading(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine, leadership(url, LEADER_LOCK) as other:
            assert [await mine.leads(), await other.leads(), await mine.leads()] == [True, False, True]

    async def test_a_process_that_does_the_upkeep_keeps_none_from_the_update_sources(self, url: str) -> None:
        async with leadership(url, UPKEEP_LOCK) as embedded, leadership(url, UPDATE_SOURCES_LOCK) as scheduler:
            assert [await embedded.leads(), await scheduler.leads()] == [True, True]

    async def test_a_leader_that_resigns_leaves_the_lead_to_another(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine, leadership(url, LEADER_LOCK) as other:
            assert await mine.leads()
            await mine.resign()

            assert [await other.leads(), await mine.leads()] == [True, False]

    async def test_a_lead_ends_with_the_block(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as other:
            async with leadership(url, LEADER_LOCK) as mine:
                assert await mine.leads()

            assert await other.leads()

    async def test_a_lead_lost_with_its_connection_goes_to_the_first_that_asks(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine, leadership(url, LEADER_LOCK) as other:
            assert await mine.leads()
            await run(url, DISCONNECT_OTHERS)

            assert [await other.leads(), await mine.leads()] == [True, False]

    async def test_a_lost_lead_is_reported_once_before_it_is_taken_again(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine:
            assert await mine.leads()
            await run(url, DISCONNECT_OTHERS)

            assert [await mine.leads(), await mine.leads()] == [False, True]

    async def test_no_process_leads_while_the_database_is_unavailable(self) -> None:
        async with leadership("postgresql://me@127.0.0.1:1/nothing", LEADER_LOCK) as mine:
            assert not await mine.leads()

    async def test_leadership_does_not_depend_on_the_exclusive_lock(self, url: str) -> None:
        async with exclusive_lock(url), leadership(url, LEADER_LOCK) as mine:
            assert await mine.leads()
