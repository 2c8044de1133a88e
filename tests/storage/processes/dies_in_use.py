"""A process that adds one message to an SQLite database, and is killed while it uses it; or ends cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.processes.clean_end import marked_in_use
from tempogram.storage.processes.exclusive_lock import exclusive_lock
from tests.storage.backends import message


async def main(url: str, end: str) -> None:
    async with exclusive_lock(url):
        database = await Database.open(url)
        async with marked_in_use(database):
            await SqlLedger(database).add([message()])
            if end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
