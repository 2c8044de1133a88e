"""What do the indexes by which messages are found cost the ledger?

Question    How many messages a second are written and settled without ``ix_messages_chat_telegram_msg``,
            ``ix_messages_reply_lookup`` and ``ix_messages_incoming``, with them, and if they were not partial?
Workload    20,000 messages from 200 concurrent callers, each added and recorded as sent; the three variants in turns,
            5 rounds, each on a new database; SQLite and PostgreSQL.
Measured    Wall time, and CPU time of this process.
Not measured  A database that is larger than its memory: there each index costs more.
Checked     Every message is in the ledger as sent, once; with the indexes as they are, nine tenths of the messages a
            second are left.

    python -m bench.selection.index_cost      (PostgreSQL: TEST_POSTGRES_URL, else left out and said so)
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, text

from bench.harness import Checks, main, spread
from bench.ledger import MESSAGES, postgres, sent_count, sqlite, throughput
from tempogram.storage.database.database import Database

ROUNDS = 5
SHARE_MIN = 0.9
COLUMNS = {
    "ix_messages_chat_telegram_msg": "chat_id, telegram_message_id",
    "ix_messages_reply_lookup": "chat_id, bot_id, telegram_message_id",
    "ix_messages_incoming": "bot_id, submitted_at_ms, chat_id",
}
DROP = [f"DROP INDEX {name}" for name in COLUMNS]
VARIANTS = {
    "without": DROP,
    "with": [],
    "not partial": [*DROP, *(f"CREATE INDEX {name} ON messages ({columns})" for name, columns in COLUMNS.items())],
}


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    for name, opened in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        rates: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for variant, statements in VARIANTS.items():
                async with opened() as database:
                    if database is None:
                        break
                    rates[variant].append(await rate(database, statements))
                    checks.that(
                        await sent_count(database) == MESSAGES, f"{name}, {variant}: every message is sent, once"
                    )
        if not rates:
            print(f"  {name}: no server at TEST_POSTGRES_URL; left out")
            continue
        for variant, found in rates.items():
            print(f"  {name}, {variant}: written and settled {spread(found, '/s', digits=0)}")
        share = statistics.median(rates["with"]) / statistics.median(rates["without"])
        checks.that(share >= SHARE_MIN, f"{name}: {share:.1%} of the messages a second are left with the indexes")


async def rate(database: Database, statements: Sequence[str]) -> float:
    await database.write_alone(lambda connection: execute(connection, statements))
    found, _ = await throughput(database)
    return found


def execute(connection: Connection, statements: Sequence[str]) -> None:
    for each in statements:
        connection.execute(text(each))


if __name__ == "__main__":
    main("What do the indexes by which messages are found cost the ledger?", bench)
