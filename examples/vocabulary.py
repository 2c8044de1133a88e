"""A word a day, at the same time of each user's own day: the model for a behaviour that acts in time.

BOT_TOKENS=123456:ABC-DEF BEHAVIOURS=tempogram.bot.behaviours.preferences,examples.vocabulary tempogram run

Users say their time zone with /timezone, and stop the words with /stop, which ``preferences`` answers.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date

from aiogram import Bot, Router
from aiogram.filters import Command
from aiogram.methods import SendMessage
from aiogram.types import Message

import tempogram
from tempogram import cron

AT = os.getenv("VOCABULARY_AT", "08:00")
ZONE = os.getenv("VOCABULARY_ZONE", "Europe/Berlin")
DB = os.getenv("VOCABULARY_DB", "vocabulary.db")

WORDS = {
    "der Feierabend": "the time after work",
    "das Fingerspitzengefühl": "a sure instinct",
    "die Vorfreude": "joy before something",
    "gemütlich": "cosy",
    "doch": "yes, against a no",
}

router = Router()
running: list[Bot] = []


@contextmanager
def table() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DB)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS learners (bot, chat, UNIQUE (bot, chat))")
        yield db


@router.startup()
async def begin(bots: tuple[Bot, ...]) -> None:
    running[:] = bots


@router.message(Command("learn"))
async def learn(message: Message, bot: Bot) -> None:
    with table() as db:
        db.execute("INSERT OR IGNORE INTO learners VALUES (?, ?)", (bot.id, message.chat.id))
    await message.answer(f"You get a word each day at {AT}. /timezone says where you are, /stop ends it.")


@cron("words", "*/15 * * * *", at_start=True, idempotent=True)
async def send_words() -> None:
    """Write to those whose hour it is. A chat gets one message on its day, whatever dies."""
    for bot in running:
        with table() as db:
            learners = [chat for (chat,) in db.execute("SELECT chat FROM learners WHERE bot = ?", (bot.id,))]
        if learners:
            async for chat in tempogram.select(bot, campaign="words", chats=learners, at=AT, default_zone=ZONE):
                await chat.submit(SendMessage(chat_id=chat.chat_id, text=word_of(chat.local_date)))


def word_of(day: str) -> str:
    """Return the word of a date, which is the same when it is asked for again."""
    number = date.fromisoformat(day).toordinal() % len(WORDS)
    word, meaning = list(WORDS.items())[number]
    return f"{word}: {meaning}"
