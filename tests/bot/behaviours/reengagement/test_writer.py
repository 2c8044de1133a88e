from __future__ import annotations

from tempogram.bot.behaviours.reengagement.settings import ReengagementSettings
from tempogram.bot.behaviours.reengagement.writer import Writer, template_for
from tempogram.bot.generator.port import Conversation, NotWritten, Utterance, Written
from tempogram.engine.model.selection import Recipient
from tempogram.storage.database.database import Database
from tempogram.storage.texts import ChatText, Texts
from tests.fakes import Clock

FOUR_PM_MS = 1_767_283_200_000
"""16:00 UTC on 2026-01-01."""

SETTINGS = ReengagementSettings(templates=("Hello {first_name}!",), system="Be brief.", zone="UTC")
ANNA = Recipient(
    chat_id=7,
    zone="UTC",
    local_date="2026-01-01",
    not_before_ms=None,
    day_ends_ms=FOUR_PM_MS + 8 * 3_600_000,
    title="Anna Smith",
)


class Model:
    """Writes what a test says, and notes what it was given."""

    takes_time = True

    def __init__(self, answer: Written | NotWritten) -> None:
        self.answer = answer
        self.asked: list[Conversation] = []

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        self.asked.append(conversation)
        return self.answer


def writer(model: Model | None, *, texts: Texts | None = None, at_ms: int = FOUR_PM_MS) -> Writer:
    return Writer(model, texts=texts, keep_ms=30 * 86_400_000, clock=Clock(at_ms))


async def test_without_a_model_a_template_is_filled_in() -> None:
    assert await writer(None).text_for(42, ANNA, SETTINGS) == "Hello Anna!"


async def test_a_model_writes_and_knows_the_last_conversation(database: Database) -> None:
    texts, model = Texts(database, keep_ms=30 * 86_400_000), Model(Written("How was the exam?"))
    for update_id, by_bot, text in ((1, False, "tomorrow is my exam"), (1, True, "good luck!")):
        await texts.note(
            ChatText(
                bot_id=42,
                update_id=update_id,
                by_bot=by_bot,
                chat_id=7,
                speaker="",
                text=text,
                said_at_ms=FOUR_PM_MS - 7 * 86_400_000 + by_bot,
            )
        )

    written = await writer(model, texts=texts).text_for(42, ANNA, SETTINGS)

    (asked,) = model.asked
    assert written == "How was the exam?"
    assert asked.system == "Be brief."
    assert asked.utterances[:2] == (Utterance("tomorrow is my exam"), Utterance("good luck!", by_bot=True))
    assert "has not written for 7 days" in asked.utterances[2].text


async def test_a_model_that_fails_costs_nothing_but_its_text() -> None:
    assert await writer(Model(NotWritten("HTTP 500"))).text_for(42, ANNA, SETTINGS) == "Hello Anna!"


async def test_at_the_end_of_the_hour_the_model_is_asked_no_more() -> None:
    model = Model(Written("How are you?"))

    assert await writer(model, at_ms=FOUR_PM_MS + 54 * 60_000).text_for(42, ANNA, SETTINGS) == "How are you?"
    assert await writer(model, at_ms=FOUR_PM_MS + 55 * 60_000).text_for(42, ANNA, SETTINGS) == "Hello Anna!"


async def test_a_text_that_is_too_long_for_a_message_is_cut() -> None:
    assert len(await writer(Model(Written("a" * 5_000))).text_for(42, ANNA, SETTINGS)) == 4_096


def test_a_chat_gets_the_same_template_again_on_the_same_day() -> None:
    settings = ReengagementSettings(templates=tuple("abcdefgh"))

    assert template_for(ANNA, settings) == template_for(ANNA, settings)
