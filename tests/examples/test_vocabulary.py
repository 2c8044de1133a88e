"""A word a day: each learner gets one at the set hour of its own day, and no second one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from tempogram.bot.tasks.declared import forget_all
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import ChatActivity
from tests.bot.embedding.started import BOT_ID, Engine, started
from tests.examples.conftest import Environment

ANNA, BORIS, CLARA = 7, 8, 9
NAME = "examples.vocabulary"


@pytest.fixture(autouse=True)
def _declared_anew() -> Iterator[None]:
    forget_all()
    sys.modules.pop(NAME, None)
    yield
    forget_all()
    sys.modules.pop(NAME, None)


@pytest.fixture
async def engine(tmp_path: Path, environment: Environment) -> AsyncIterator[Engine]:
    """Run it in the hour that has begun five minutes ago, in a zone where it is about noon."""
    offset = 12 - datetime.now(UTC).hour
    local = datetime.now(UTC) + timedelta(hours=offset, minutes=-5)
    environment(
        {
            "VOCABULARY_DB": str(tmp_path / "words.db"),
            "VOCABULARY_AT": f"{local:%H:%M}",
            "VOCABULARY_ZONE": f"Etc/GMT{-offset:+d}",
        }
    )
    async with started(tmp_path / "data", behaviours=(NAME,)) as running:
        for chat in (ANNA, BORIS, CLARA):
            note = ChatActivity(bot_id=BOT_ID, chat_id=chat, at_ms=1, type="private")
            await running.built.storage.chats.note_activity(note)
        yield running


async def learning(engine: Engine) -> ModuleType:
    module = sys.modules[NAME]
    await engine.built.front.updates.dispatchers.start()
    with module.table() as db:
        db.executemany("INSERT INTO learners VALUES (?, ?)", [(BOT_ID, ANNA), (BOT_ID, BORIS)])
    return module


async def test_each_learner_gets_the_word_of_its_day_once(engine: Engine) -> None:
    module = await learning(engine)
    facts = ChatFacts(chat_id=BORIS, opted_out_at_ms=1)
    await engine.built.storage.chats.set_facts(BOT_ID, [facts])

    for _ in range(2):
        await module.send_words()
    await engine.until_sent()

    assert engine.shown(BORIS) == engine.shown(CLARA) == []
    (word,) = engine.shown(ANNA)
    assert word.split(":")[0] in module.WORDS


async def test_at_another_hour_no_one_is_written_to(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    module = await learning(engine)
    monkeypatch.setattr(module, "AT", "23:00")

    await module.send_words()
    await engine.until_sent()

    assert engine.shown(ANNA) == []


def test_each_day_has_its_word(environment: Environment) -> None:
    environment({})
    from examples.vocabulary import WORDS, word_of

    assert len({word_of(f"2026-01-0{day}") for day in range(1, 6)}) == len(WORDS)
    assert word_of("2026-01-01") == word_of("2026-01-01")
