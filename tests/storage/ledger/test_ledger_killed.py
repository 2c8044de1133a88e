from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tests import ROOT
from tests.storage.backends import OnPostgres, OnSqlite

ENOUGH = 200
"""Acknowledged before the kill, so that it falls between commits, into one, or into an answer."""

ID_WIDTH = 26


async def acknowledged_until_killed(url: str) -> set[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.storage.ledger.adds_until_killed", url, cwd=ROOT, stdout=PIPE
    )
    before = [await next_line(process) for _ in range(ENOUGH)]
    process.kill()
    rest, _ = await process.communicate()
    lines = [*before, *rest.decode().split()]
    return {line for line in lines if len(line) == ID_WIDTH}  # the last one may be cut


async def next_line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


class KillContract:
    async def test_what_was_acknowledged_is_there_after_kill_9(self, url: str) -> None:
        acknowledged = await acknowledged_until_killed(url)

        database = await Database.open(url)
        found = await SqlLedger(database).open_messages(after_id="", limit=1_000_000)
        await database.close()

        assert len(acknowledged) >= ENOUGH
        assert acknowledged <= {message.id for message in found}


class TestKillOnSqlite(OnSqlite, KillContract):
    pass


class TestKillOnPostgres(OnPostgres, KillContract):
    pass
