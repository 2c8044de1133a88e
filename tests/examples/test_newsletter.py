"""A newsletter: each reader gets it once, and those who have opted out get none."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from aiogram.filters import CommandObject
from aiogram.types import Chat, Message, User

from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import ChatActivity
from tests.bot.embedding.started import BOT_ID, Engine, started
from tests.end_to_end.test_telegram_answers import until
from tests.examples.conftest import Environment

EDITOR, ANNA, BORIS = 7, 8, 9
NAME = "examples.newsletter"


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    sys.modules.pop(NAME, None)
    yield
    sys.modules.pop(NAME, None)


@pytest.fixture
async def engine(tmp_path: Path, environment: Environment) -> AsyncIterator[Engine]:
    environment({"EDITORS": str(EDITOR)})
    async with started(tmp_path / "data", behaviours=(NAME,)) as running:
        now_ms = running.built.context.clock()
        for chat in (ANNA, BORIS):
            note = ChatActivity(bot_id=BOT_ID, chat_id=chat, at_ms=now_ms, type="private")
            await running.built.storage.chats.note_activity(note)
        # It is noon where the readers are.
        hour = now_ms // 3_600_000 % 24
        zone = f"Etc/GMT{hour - 12:+d}"
        facts = [ChatFacts(chat_id=chat, time_zone=zone) for chat in (ANNA, BORIS)]
        await running.built.storage.chats.set_facts(BOT_ID, facts)
        await running.built.storage.chats.set_facts(BOT_ID, [ChatFacts(chat_id=BORIS, opted_out_at_ms=1)])
        yield running


async def test_a_reader_gets_the_newsletter_once_and_one_who_has_opted_out_gets_none(engine: Engine) -> None:
    module: ModuleType = sys.modules[NAME]
    sender = User(id=EDITOR, is_bot=False, first_name="Ed")
    asked = Message(message_id=1, date=0, chat=Chat(id=EDITOR, type="private"), from_user=sender)  # type: ignore[arg-type]

    await module.send(asked.as_(engine.bot), CommandObject(command="send", args="Hello {title|friend}"), engine.bot)

    async def has_come() -> bool:
        return bool(engine.shown(ANNA))

    await until(has_come)
    await engine.until_sent()
    assert (engine.shown(ANNA), engine.shown(BORIS)) == (["Hello friend"], [])
    assert engine.shown(EDITOR) == ["It goes out. tempogram broadcast show 1 says how far it is."]
