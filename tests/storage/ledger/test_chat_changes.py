from __future__ import annotations

import asyncio
import random

import pytest
from sqlalchemy import text

from tempogram.engine.model.messages import Status
from tempogram.engine.ports.ledger import Record
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import ChatActivity, Chats
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tests.storage.backends import BOT, NOW_MS, became, message

CHATS = range(1, 41)
ROUNDS = 60

DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def sent(chat_id: int, at_ms: int) -> Record:
    return became(message(chat_id=chat_id), Status.SENT, telegram_message_id=5, recorded_at_ms=at_ms)


async def write_in_disorder(database: Database, seed: int) -> None:
    """Change the same chats in every way, several at once and in any order, as a busy process does."""
    ledger, chats, chance = SqlLedger(database), Chats(database), random.Random(seed)

    def any_chat() -> int:
        return chance.choice(CHATS)

    for turn in range(ROUNDS):
        at_ms = NOW_MS + turn
        await asyncio.gather(
            *(chats.note_activity(ChatActivity(bot_id=BOT, chat_id=any_chat(), at_ms=at_ms)) for _ in range(9)),
            ledger.record([sent(any_chat(), at_ms) for _ in range(9)]),
            chats.mark_unreachable(BOT, any_chat(), "Forbidden: gone"),
            chats.mark_reachable(BOT, any_chat()),
            chats.set_facts(BOT, [ChatFacts(chat_id=any_chat(), language="de", tags=("a",)) for _ in range(9)]),
            *(ledger.record([sent(any_chat(), at_ms)]) for _ in range(9)),
        )


@pytest.mark.postgres
async def test_processes_that_change_the_same_chats_crosswise_do_not_deadlock(fresh_postgres: str) -> None:
    processes = [await Database.open(fresh_postgres) for _ in range(2)]

    await asyncio.gather(*(write_in_disorder(each, seed) for seed, each in enumerate(processes)))
    for each in processes:
        await each.close()

    database = await Database.open(fresh_postgres)
    async with database.reading() as connection:
        deadlocks = (await connection.execute(DEADLOCKS)).scalar_one()
    known = await Chats(database).page(BOT, after="", limit=100)
    await database.close()
    assert deadlocks == 0
    assert [each.last_message_out_at_ms is not None for each in known] == [True] * len(CHATS)
