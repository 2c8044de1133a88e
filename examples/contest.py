"""A contest on X, with its results in Telegram: tweets that mention the account take part until they are deleted.

python -m examples.fake_x
BOT_TOKENS=123456:ABC-DEF BEHAVIOURS=examples.contest tempogram run

Four tasks share the small limits of X. When a round is over, all its entries are checked once more, then it is
published.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import aiohttp
from aiogram import Bot, Dispatcher, Router
from aiogram.filters import Command, CommandStart
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram import Tempogram, every, service_middleware, services, submit, sweep

X_API = os.getenv("X_API", "http://127.0.0.1:8099")
ACCOUNT = os.getenv("X_ACCOUNT", "42")
ROUND_S = float(os.getenv("ROUND_S", "3600"))
LOOKUP_MAX = 100
FREEZE_S = 240.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (tweet INTEGER PRIMARY KEY, round, checked REAL DEFAULT 0, gone DEFAULT 0);
CREATE TABLE IF NOT EXISTS published (round PRIMARY KEY);
CREATE TABLE IF NOT EXISTS subscribers (bot, chat, UNIQUE (bot, chat));
"""
LONGEST_UNCHECKED = "SELECT tweet FROM entries WHERE NOT gone ORDER BY checked LIMIT ?"
NEWEST = "SELECT tweet FROM entries WHERE NOT gone ORDER BY tweet DESC LIMIT ?"
OF_ROUND = "SELECT tweet FROM entries WHERE round = ? ORDER BY tweet"


class Contest:
    """The tables of entries, of rounds that were published, and of chats that want the results."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def table(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.executescript(SCHEMA)
            yield db

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.table() as db:
            return db.execute(query, values).fetchall()

    def newest(self) -> int:
        ((newest,),) = self.rows("SELECT coalesce(max(tweet), 0) FROM entries")
        return int(newest)

    def enter(self, tweets: Iterable[str], round_number: int) -> None:
        with self.table() as db:
            rows = [(int(tweet), round_number) for tweet in tweets]
            db.executemany("INSERT OR IGNORE INTO entries (tweet, round) VALUES (?, ?)", rows)

    def tweets(self, query: str, *values: object) -> list[str]:
        return [str(tweet) for (tweet,) in self.rows(query, *values)]

    def note(self, checked: Iterable[str], found: set[str]) -> None:
        with self.table() as db:
            rows = [(time.time(), tweet not in found, int(tweet)) for tweet in checked]
            db.executemany("UPDATE entries SET checked = ?, gone = ? WHERE tweet = ?", rows)

    def left(self, number: int) -> int:
        ((left,),) = self.rows("SELECT count(*) FROM entries WHERE round = ? AND NOT gone", number)
        return int(left)

    def unpublished(self, before: int) -> list[int]:
        query = "SELECT DISTINCT round FROM entries WHERE round < ? AND round NOT IN (SELECT round FROM published)"
        return [number for (number,) in self.rows(f"{query} ORDER BY round", before)]


contest = Contest(os.getenv("CONTEST_DB", "contest.db"))
router = Router(name="contest")
limits = service_middleware(services, "x", {"*/mentions": "mentions", "*/tweets": "tweet_lookup"})


def round_now() -> int:
    return int(time.time() / ROUND_S)


async def ask_x(path: str, **parameters: str) -> list[str]:
    """Return the ids of the tweets that X answers with; each request is a call of the service ``x``."""
    async with (
        aiohttp.ClientSession(X_API, middlewares=[limits], raise_for_status=True) as session,
        session.get(path, params=parameters) as response,
    ):
        return [tweet["id"] for tweet in (await response.json())["data"]]


async def look_up(tweets: Sequence[str]) -> None:
    if tweets:
        contest.note(tweets, set(await ask_x("/2/tweets", ids=",".join(tweets))))


@every("twitterPoller", 120, env="TWITTER_POLL_INTERVAL", uses={"x:mentions": 1})
async def poll() -> None:
    contest.enter(await ask_x(f"/2/users/{ACCOUNT}/mentions", since_id=str(contest.newest())), round_now())


@every("validateEntries", 180, env="VALIDATE_ENTRIES_INTERVAL", uses={"x:tweet_lookup": 1})
async def validate_entries() -> None:
    await look_up(contest.tweets(LONGEST_UNCHECKED, LOOKUP_MAX))


@every("fastDeleteSweep", 180, env="FAST_DELETE_SWEEP_INTERVAL", uses={"x:tweet_lookup": 1})
async def sweep_fast_deletes() -> None:
    await look_up(contest.tweets(NEWEST, LOOKUP_MAX))


@every(
    "freezeCoordinator",
    300,
    env="FREEZE_COORDINATOR_INTERVAL",
    uses={"x:tweet_lookup": 1},
    timeout=FREEZE_S + 30,
    idempotent=True,
)
async def freeze() -> None:
    for number in contest.unpublished(before=round_now()):
        await freeze_round(number)


async def freeze_round(number: int) -> None:
    """Check all entries of a round, then publish it; after a kill it goes on with what was not checked."""
    await sweep(f"freeze-{number}", contest.tweets(OF_ROUND, number), look_up, deadline_s=FREEZE_S)
    text = f"Round {number} is over: {contest.left(number)} entries are left."
    for bot_id, chat_id in contest.rows("SELECT bot, chat FROM subscribers"):
        await submit(bot_id, SendMessage(chat_id=chat_id, text=text), dedup_key=f"round-{number}-{chat_id}")
    with contest.table() as db:
        db.execute("INSERT OR IGNORE INTO published VALUES (?)", (number,))


@router.message(CommandStart())
async def subscribe(message: Message, bot: Bot) -> None:
    with contest.table() as db:
        db.execute("INSERT OR IGNORE INTO subscribers VALUES (?, ?)", (bot.id, message.chat.id))
    await message.answer("You get the result of each round. /entries shows how many take part.")


@router.message(Command("entries"))
async def show(message: Message) -> None:
    await message.answer(f"{contest.left(round_now())} tweets take part in this round.")


async def main() -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    async with Tempogram():
        await dispatcher.start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    asyncio.run(main())
