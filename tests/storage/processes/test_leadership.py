"""One process leads; when its connection breaks, another may."""

from __future__ import annotations

from tempogram.storage.processes.exclusive_lock import exclusive_lock
from tempogram.storage.processes.leadership import LEADER_LOCK, leadership
from tests.storage.backends import OnPostgres, OnSqlite
from tests.storage.servers import DISCONNECT_OTHERS, run


class TestLeadershipOnSqlite(OnSqlite):
    async def test_who_has_the_file_leads(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine:
            assert await mine.leads()


class TestLeadershipOnPostgres(OnPostgres):
    async def test_one_of_two_leads_and_goes_on_leading(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine, leadership(url, LEADER_LOCK) as other:
            assert [await mine.leads(), await other.leads(), await mine.leads()] == [True, False, True]

    async def test_who_resigns_leaves_it_to_another(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine, leadership(url, LEADER_LOCK) as other:
            assert await mine.leads()
            await mine.resign()

            assert [await other.leads(), await mine.leads()] == [True, False]

    async def test_it_ends_with_the_block(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as other:
            async with leadership(url, LEADER_LOCK) as mine:
                assert await mine.leads()

            assert await other.leads()

    async def test_with_a_connection_that_broke_it_is_whose_first_asks(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine, leadership(url, LEADER_LOCK) as other:
            assert await mine.leads()
            await run(url, DISCONNECT_OTHERS)

            assert [await other.leads(), await mine.leads()] == [True, False]

    async def test_a_lead_that_was_lost_is_told_once_before_it_is_taken_again(self, url: str) -> None:
        async with leadership(url, LEADER_LOCK) as mine:
            assert await mine.leads()
            await run(url, DISCONNECT_OTHERS)

            assert [await mine.leads(), await mine.leads()] == [False, True]

    async def test_nobody_leads_while_nobody_can_be_asked(self) -> None:
        async with leadership("postgresql://nobody@127.0.0.1:1/nothing", LEADER_LOCK) as mine:
            assert not await mine.leads()

    async def test_it_has_nothing_to_do_with_who_uses_the_books(self, url: str) -> None:
        async with exclusive_lock(url), leadership(url, LEADER_LOCK) as mine:
            assert await mine.leads()
