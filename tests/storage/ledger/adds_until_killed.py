"""A process that adds messages and prints the id of each that was acknowledged. It is killed from outside."""

from __future__ import annotations

import asyncio
import sys

from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tests.storage.backends import message

CALLERS = 8


async def main(url: str) -> None:
    ledger = SqlLedger(await Database.open(url))
    await asyncio.gather(*(add_for_ever(ledger) for _ in range(CALLERS)))


async def add_for_ever(ledger: SqlLedger) -> None:
    while True:
        added = message()
        await ledger.add([added])
        sys.stdout.write(added.id + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
