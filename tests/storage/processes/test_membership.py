"""A process is alive as long as the lock of its number is held, which ends with its connection."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from itertools import count

from tempogram.storage.database.database import Database
from tempogram.storage.processes.held_locks import LEADER_LOCK, HeldLocks
from tempogram.storage.processes.leadership import leadership
from tempogram.storage.processes.membership import SqlMembership, membership
from tests import ROOT
from tests.storage.backends import OnPostgres, OnSqlite

LIVES = """
import asyncio, sys
from tempogram.storage.processes.membership import membership

async def main():
    async with membership(sys.argv[1], int(sys.argv[2])):
        print("lives", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

HIGHEST = 2**31 - 1


def members_of(database: Database) -> SqlMembership:
    """Return one that reads the locks each time: by its clock each reading is long ago."""
    return SqlMembership(database, HeldLocks(seconds=count(step=10).__next__))


class TestMembersOnSqlite(OnSqlite):
    async def test_sqlite_has_no_other_living_processes(self, url: str, database: Database) -> None:
        async with membership(url, 1):
            assert await members_of(database).alive() == frozenset()


class TestMembersOnPostgres(OnPostgres):
    async def test_a_process_is_alive_while_it_holds_its_lock(self, url: str, database: Database) -> None:
        members = members_of(database)

        async with membership(url, 1):
            async with membership(url, HIGHEST):
                assert await members.alive() == {1, HIGHEST}
            assert await members.alive() == {1}
        assert await members.alive() == frozenset()

    async def test_other_locks_are_not_living_processes(self, url: str, database: Database) -> None:
        async with leadership(url, LEADER_LOCK) as leads, membership(url, 1):
            assert await leads.leads()
            assert await members_of(database).alive() == {1}

    async def test_processes_of_another_database_on_the_same_server_are_not_counted(
        self, url: str, database: Database, fresh_postgres: str
    ) -> None:
        async with membership(fresh_postgres, 2), membership(url, 1):
            assert await members_of(database).alive() == {1}

    async def test_a_killed_process_is_not_alive(self, url: str, database: Database) -> None:
        members = members_of(database)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", LIVES, url, "7", cwd=ROOT, stdout=PIPE)
        assert process.stdout is not None
        await process.stdout.readline()
        before = await members.alive()

        process.kill()
        await process.wait()
        async with asyncio.timeout(5):
            while 7 in await members.alive():  # noqa: ASYNC110 - the server notices by itself
                await asyncio.sleep(0.01)

        assert before == {7}
