from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

from tempogram.storage.database.database import Database
from tempogram.storage.fsm.data import decode
from tempogram.storage.fsm.rows import StateKey
from tempogram.storage.fsm.states import States
from tests import ROOT
from tests.storage.backends import BOT, OnPostgres, OnSqlite
from tests.storage.fsm.fills_until_killed import USERS

ENOUGH = 200
"""Steps before the kill, so that it falls between commits, into one, or into an answer."""


async def steps_until_killed(url: str) -> dict[int, int]:
    """Return the last step of each user that was acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.storage.fsm.fills_until_killed", url, cwd=ROOT, stdout=PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(ENOUGH)]
    process.kill()
    rest, _ = await process.communicate()
    whole = (b"".join(lines) + rest).decode().split(";\n")[:-1]  # the last one may be cut
    return {int(user_id): int(step) for user_id, _, step in (line.partition(" ") for line in whole)}


class KillContract:
    async def test_a_half_filled_form_has_every_acknowledged_step_after_kill_9(self, url: str) -> None:
        acknowledged = await steps_until_killed(url)

        database = await Database.open(url)
        found = {
            user_id: decode((await States(database).get(StateKey(BOT, user_id, user_id), None)).data)
            for user_id in range(USERS)
        }
        await database.close()

        assert sum(acknowledged.values()) >= ENOUGH
        for user_id, last in acknowledged.items():
            assert list(found[user_id].values())[:last] == list(range(1, last + 1))


class TestKillOnSqlite(OnSqlite, KillContract):
    pass


class TestKillOnPostgres(OnPostgres, KillContract):
    pass
