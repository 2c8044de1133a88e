"""How long a change of ``SECRET_KEY`` takes without load: encrypting 1,000 bots anew, in chunks of 50."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert

from bench.harness import spread
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots
from tempogram.storage.key_rotation import KeyRotation, UnderKeys
from tempogram.storage.keys import Seal
from tempogram.storage.processes.identity import adopt_key
from tempogram.storage.processes.membership import SqlMembership

BOTS, TIMES = 1_000, 5
KEYS = "one key of a benchmark", "another key of a benchmark"


async def durations(postgres_url: str) -> None:
    """Print those of both databases; whatever bots there were are replaced."""
    with tempfile.TemporaryDirectory() as folder:
        for name, url in (("SQLite", f"sqlite:///{folder}/bench.db"), ("PostgreSQL", postgres_url)):
            database = await Database.open(url)
            try:
                took_ms = await _measured(database)
            finally:
                await database.close()
            sys.stdout.write(f"  {BOTS:,} bots, {name}: {spread(took_ms, 'ms', digits=0)}\n")


async def _measured(database: Database) -> Sequence[float]:
    seal = Seal(KEYS[0])
    rows = [
        {"bot_id": each, "behaviours": {}, "defaults": {}, "added_at_ms": 1} | _sealed(seal, each)
        for each in range(1, BOTS + 1)
    ]

    def store(connection: Connection) -> None:
        connection.execute(delete(bots))
        connection.execute(insert(bots), rows)

    await database.write_alone(store)
    await adopt_key(database, seal)
    took_ms = []
    for number in range(TIMES):
        former, present = KEYS[number % 2], KEYS[(number + 1) % 2]
        rotation = KeyRotation(database, Seal(present, former), SqlMembership(database))
        began_s = time.perf_counter()
        assert await rotation.rotate() == UnderKeys(present=BOTS)
        took_ms.append((time.perf_counter() - began_s) * 1_000)
    return took_ms


def _sealed(seal: Seal, bot_id: int) -> dict[str, bytes]:
    return {
        "sealed_token": seal.seal(f"{bot_id}:token-of-a-benchmark", bot_id=bot_id),
        "sealed_webhook_secret": seal.seal("secret-of-a-benchmark", bot_id=bot_id),
    }
