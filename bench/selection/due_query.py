"""Is a campaign's query, and are lookups of messages, fast among 30,000,000 messages?

Question    How long does it take to find whom re-engagement would write to now, of 1,000,000 accounts in all zones? And
            a message by Telegram's number, or what a bot received in an hour, of 30,000,000 messages: without any
            index but the key, with the indexes that were there before, and with those made for it?
Workload    One bot. 1,000,000 private chats over all zones, 1 of 40 unreachable, 1 of 50 opted out, whose last messages
            came within a month; 30,000,000 messages of that month, one of ten in 30 groups. SQL makes them in the
            database. SQLite and PostgreSQL one after the other; the states of each in one run.
Measured    From the call of our repository to its answer, in this process: the due query as pages and as a preview;
            each lookup up to 50 times, for as many chats, within 20 s. Sizes, and how long making all of it takes.
Not measured  A cold disk: what was made last is in memory, as far as it fits.
Checked     The due ones are exactly those that a loop over all accounts finds; each lookup has the same answer in all
            states; with its index each is faster than without any.

    python -m bench.selection.due_query                                     (PostgreSQL: TEST_POSTGRES_URL)
    python -m bench.selection.due_query --accounts=10000 --messages=300000  (a hundredth)
    python -m bench.selection.due_query --only=sqlite                       (or postgresql)
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Index, create_engine, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bench.harness import Checks, main, spread
from bench.ledger import postgres_url
from bench.selection.rows import BOT, GROUP_SHARE, Size, make_accounts, make_messages, pieces
from tempogram.engine.model.selection import Rules, Selection
from tempogram.engine.selection.days import local_day, minute_of_day
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import parse
from tempogram.storage.database.models import chats, messages
from tempogram.storage.ledger import chat_ids
from tempogram.storage.messages import MessageHistory
from tempogram.storage.selection.audience import SqlAudience
from tests.storage.statements import noted, plan_of

Answer = TypeVar("Answer")

NEW = ("ix_messages_chat_telegram_msg", "ix_messages_reply_lookup", "ix_messages_incoming")
BARE, BEFORE, NOW = "no index but the key", "the indexes of before", "with its index"
REPLY_IN_GROUP, REPLY_IN_PRIVATE = "a reply in a group", "a reply in a private chat"
SERVED_BEFORE = {REPLY_IN_GROUP, REPLY_IN_PRIVATE}
"""``messages_of_chat`` has bot and chat. For the others all was read, on SQLite through that index: it takes longer."""

TIMES_MIN, TIMES_MAX, SECONDS = 1, 50, 20.0
PLAN_WIDTH = 150
HOUR_MS = 3_600_000
QUERY_TIMEOUT_S = 900.0

SELECTION = Selection(bot_id=BOT, wrote_days_ago=7)
SIXTEEN = 16 * 60
RULES = Rules(campaign="bench", at_minute=SIXTEEN, not_if_written_today=True)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    now_ms = time.time_ns() // 1_000_000
    size = Size(accounts=option("accounts", 1_000_000), messages=option("messages", 30_000_000), now_ms=now_ms)
    print(f"  {size.accounts:,} accounts, {size.messages:,} messages")
    if "--only=postgresql" not in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            await measure(checks, "SQLite", f"sqlite:///{Path(folder) / 'bench.db'}", size)
    if "--only=sqlite" in sys.argv:
        return
    async with postgres_url() as url:
        if url is None:
            print("  PostgreSQL: no server at TEST_POSTGRES_URL; left out")
        else:
            await measure(checks, "PostgreSQL", url, size)


def option(name: str, default: int) -> int:
    given = [each.partition("=")[2] for each in sys.argv[1:] if each.startswith(f"--{name}=")]
    return int(given[-1]) if given else default


async def measure(checks: Checks, name: str, url: str, size: Size) -> None:
    await (await Database.open(url)).close()
    print(f"\n  {name}")
    async with made(url, size) as (database, admin):
        await due(checks, name, database, size)
        found = await lookups_in_three_states(database, admin, size)
        for lookup in found:
            compare(checks, name, lookup, found[lookup])
        await admin(sizes)


Admin = Callable[[Callable[[Connection], Any]], Awaitable[Any]]


@asynccontextmanager
async def made(url: str, size: Size) -> AsyncIterator[tuple[Database, Admin]]:
    """Make the rows without the indexes of messages, and give a database to ask and a way to change its indexes."""
    began_s = time.perf_counter()
    async with administered(url) as admin:
        await admin(drop_indexes)
        with timed(f"made {size.accounts:,} accounts"):
            await admin(lambda connection: make_accounts(connection, size))
        with timed(f"made {size.messages:,} messages"):
            for first, last in pieces(size):
                await admin(lambda connection, first=first, last=last: make_messages(connection, size, first, last))  # type: ignore[misc]
        await admin(analyze)
        database = Database.open_read_only(url, query_timeout_s=QUERY_TIMEOUT_S)
        try:
            yield database, admin
        finally:
            await database.close()
    print(f"    all of it took {(time.perf_counter() - began_s) / 60:.1f} min")


@asynccontextmanager
async def administered(url: str) -> AsyncIterator[Admin]:
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed.set(drivername="sqlite"), poolclass=NullPool)

        def work_in_sqlite(work: Callable[[Connection], Any]) -> Any:
            with engine.begin() as connection:
                for pragma in ("synchronous = OFF", "cache_size = -1000000", "temp_store = FILE"):
                    connection.exec_driver_sql(f"PRAGMA {pragma}")
                return work(connection)

        yield lambda work: asyncio.to_thread(work_in_sqlite, work)
        return
    postgres = create_async_engine(parsed, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    async def work_in_postgres(work: Callable[[Connection], Any]) -> Any:
        async with postgres.connect() as connection:
            await connection.exec_driver_sql("SET maintenance_work_mem = '1GB'")
            return await connection.run_sync(work)

    yield work_in_postgres


def indexes(*, new: bool) -> Iterator[Index]:
    return (index for index in sorted(messages.indexes, key=lambda each: str(each.name)) if (index.name in NEW) is new)


def drop_indexes(connection: Connection) -> None:
    for index in messages.indexes:
        index.drop(connection)


def create(connection: Connection, *, new: bool) -> None:
    for index in indexes(new=new):
        with timed(f"created {index.name}"):
            index.create(connection)


def analyze(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite plans without statistics here, as in every process of ours
        for table in ("messages", "chats"):
            connection.execute(text(f"VACUUM ANALYZE {table}"))


def sizes(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        print(f"    file: {pages * connection.exec_driver_sql('PRAGMA page_size').scalar_one() / 1e9:.2f} GB")
        return
    relations = "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname ~ 'messages|chats'"
    for relation, size_bytes in connection.execute(text(f"{relations} ORDER BY 2 DESC")):
        if size_bytes > 1_000_000:
            print(f"    {relation}: {size_bytes / 1e9:.2f} GB")


# The due query


async def due(checks: Checks, name: str, database: Database, size: Size) -> None:
    audience, now_ms = SqlAudience(database), size.now_ms - size.now_ms % HOUR_MS
    with timed("due: a preview"):
        preview = await audience.preview(SELECTION, RULES, now_ms=now_ms)
    with timed("due: all pages"), noted() as statements:
        found = [each async for each in all_due(audience, now_ms)]
    with timed("due: by a loop over all accounts"):
        expected = await due_by_loop(database, now_ms)
    print(f"    due: {len(found):,} of {size.accounts:,} accounts, by {len(statements)} statements")
    plan = await plan_of(database, max(statements, key=lambda each: len(each.text)))  # the first page
    print("\n".join(f"      {line[:PLAN_WIDTH]}" for line in plan.splitlines()))
    checks.that(sorted(found) == sorted(expected), f"{name}: exactly those are due that a loop over all finds")
    checks.that(preview.selected == len(found), f"{name}: the preview counts {preview.selected:,}, as many")


async def all_due(audience: SqlAudience, now_ms: int) -> AsyncIterator[str]:
    after = ""
    while page := await audience.page(SELECTION, RULES, now_ms=now_ms, after=after):
        for each in page:
            yield str(each.chat_id)
        after = str(page[-1].chat_id)


async def due_by_loop(database: Database, now_ms: int) -> list[str]:
    """Ask of each account, one after another, what the query asks of all."""
    columns = chats.c.chat_id, chats.c.time_zone, chats.c.last_message_in_at_ms, chats.c.last_message_out_at_ms
    reached = select(*columns).where(chats.c.reachable, chats.c.opted_out_at_ms.is_(None))
    days: dict[str, tuple[bool, int, int, int]] = {}
    found = []
    async with database.reading() as connection:
        for chat_id, zone, last_in_ms, last_out_ms in await connection.execute(reached):
            if zone not in days:
                day = local_day(zone, now_ms, days_ago=7)
                is_hour = SIXTEEN <= minute_of_day(zone, now_ms) < SIXTEEN + 60
                days[zone] = is_hour, day.starts_ms, day.ends_ms, local_day(zone, now_ms).starts_ms
            is_hour, starts_ms, ends_ms, today_ms = days[zone]
            if is_hour and starts_ms <= last_in_ms < ends_ms and last_out_ms < today_ms:
                found.append(str(chat_ids.required(chat_id)))
    return found


# Lookups of messages

Times = dict[str, tuple[list[float], list[Any]]]
"""By state: milliseconds, and the answers."""


async def lookups_in_three_states(database: Database, admin: Admin, size: Size) -> dict[str, Times]:
    found: dict[str, Times] = defaultdict(dict)
    for state in (BARE, BEFORE, NOW):
        if state != BARE:
            await admin(lambda connection, new=state == NOW: create(connection, new=new))  # type: ignore[misc]
            await admin(analyze)
        for name, look in lookups(MessageHistory(database), size).items():
            if state != BEFORE or name in SERVED_BEFORE:
                found[name][state] = await repeated(look)
    return found


def lookups(history: MessageHistory, size: Size) -> dict[str, Callable[[int], Awaitable[Any]]]:
    """Each looks for another message of ours, by the number of its turn."""

    def ours(turn: int, *, in_group: bool) -> tuple[int | str, int]:
        number = size.messages // 2 + turn * 30 + 10 if in_group else size.messages // 3 + turn * 30 + 1
        while number % 3 == 0 or (number % GROUP_SHARE == 0) is not in_group:
            number += 10 if in_group else 1
        return chat_ids.required(size.chat_of(number)), size.number_of(number)

    return {
        "of a group, whichever bot": lambda turn: history.of_number(*ours(turn, in_group=True)),
        REPLY_IN_GROUP: lambda turn: history.of_number(*ours(turn, in_group=True), bot_id=BOT),
        REPLY_IN_PRIVATE: lambda turn: history.of_number(*ours(turn, in_group=False), bot_id=BOT),
        "received in an hour": lambda turn: history.incoming(
            BOT,
            since_ms=size.now_ms - (turn + 2) * HOUR_MS,
            until_ms=size.now_ms - (turn + 1) * HOUR_MS,
            after=None,
            limit=100,
        ),
    }


async def repeated(look: Callable[[int], Awaitable[Any]]) -> tuple[list[float], list[Any]]:
    times_ms: list[float] = []
    answers: list[Any] = []
    began_s = time.perf_counter()
    while len(times_ms) < TIMES_MIN or (len(times_ms) < TIMES_MAX and time.perf_counter() - began_s < SECONDS):
        turn_s = time.perf_counter()
        answers.append(await look(len(answers)))
        times_ms.append((time.perf_counter() - turn_s) * 1_000)
    return times_ms, answers


def compare(checks: Checks, name: str, lookup: str, states: Times) -> None:
    for state, (times_ms, _) in states.items():
        print(f"    {lookup}, {state}: {spread(times_ms, 'ms', digits=2)}")
    median = {state: statistics.median(times_ms) for state, (times_ms, _) in states.items()}
    times = [f"{median[state] / median[NOW]:,.1f} times as fast as with {state}" for state in states if state != NOW]
    print(f"    {lookup}: {', '.join(times)}")
    least = min(len(answers) for _, answers in states.values())
    answers = [answers[:least] for _, answers in states.values()]
    checks.that(all(each == answers[0] for each in answers), f"{name}, {lookup}: the same answers")
    checks.that(all(answers[0]), f"{name}, {lookup}: each was found")
    checks.that(median[NOW] < median[BARE], f"{name}, {lookup}: faster with its index than without any")


@contextmanager
def timed(what: str) -> Iterator[None]:
    began_s = time.perf_counter()
    yield
    took_s = time.perf_counter() - began_s
    print(f"    {what}: {took_s:.2f} s" if took_s >= 1 else f"    {what}: {took_s * 1_000:.1f} ms")


if __name__ == "__main__":
    main("Is a campaign's query, and are lookups of messages, fast among 30,000,000 messages?", bench)
