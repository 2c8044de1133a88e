"""``tempogram.select``, in a program that runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import SendMessage

import tempogram
from tempogram.api.core.ports import Refusal
from tempogram.engine.model.messages import Guarantee, Status
from tempogram.storage.chats import ChatActivity
from tests.bot.embedding.started import BOT_ID, Engine

CHATS = (501, 502, 503)


async def wrote(engine: Engine, *chat_ids: int) -> None:
    """Let users write to the bot just now."""
    for chat_id in chat_ids:
        note = ChatActivity(bot_id=BOT_ID, chat_id=chat_id, at_ms=engine.built.context.clock(), type="private")
        await engine.built.storage.chats.note_activity(note)


async def write_to_all(campaign: str, **wanted: Any) -> list[int | str]:
    """Write to each chat that is selected, and return their ids."""
    given: list[int | str] = []
    async for chat in tempogram.select(BOT_ID, campaign=campaign, **wanted):
        await chat.submit(SendMessage(chat_id=chat.chat_id, text=f"{campaign} of {chat.local_date}"))
        given.append(chat.chat_id)
    return given


async def test_each_chat_is_written_to_once_on_its_local_date(engine: Engine) -> None:
    await wrote(engine, *CHATS)

    first = await write_to_all("weekly")
    again = await write_to_all("weekly")
    capped = await write_to_all("digest", daily_cap=1)

    assert (first, again, capped) == (list(CHATS), [], [])


async def test_a_message_is_of_low_priority_and_expires_with_the_chats_day(engine: Engine) -> None:
    await wrote(engine, 501)
    await engine.pause()

    [chat] = [each async for each in tempogram.select(BOT_ID, campaign="weekly", default_zone="UTC")]
    submitted = await chat.submit(SendMessage(chat_id=501, text="hello"))

    message = await tempogram.state(submitted.id)
    assert message.priority == tempogram.Priority.LOW
    [kept] = await engine.built.storage.ledger.open_messages(after_id="", limit=9)
    assert kept.guarantee is Guarantee.AT_MOST_ONCE
    assert kept.tag == "weekly"
    assert kept.expires_at_ms is not None
    assert kept.expires_at_ms % 86_400_000 < 5_000  # of the time between the selection and the submission


async def test_a_chat_without_a_message_is_given_again_and_a_second_message_is_the_first(engine: Engine) -> None:
    await wrote(engine, *CHATS)
    await engine.pause()
    async for _ in tempogram.select(BOT_ID, campaign="weekly"):
        break  # as if it were killed

    given = [each async for each in tempogram.select(BOT_ID, campaign="weekly")]
    first = await given[0].submit(SendMessage(chat_id=501, text="hello"))
    second = await given[0].submit(SendMessage(chat_id=501, text="hello again"))

    assert [each.chat_id for each in given] == list(CHATS)
    assert (second.id, second.status) == (first.id, Status.QUEUED)


async def test_what_is_refused_for_good_is_not_given_again(engine: Engine) -> None:
    await wrote(engine, 501)
    [chat] = [each async for each in tempogram.select(BOT_ID, campaign="weekly")]
    await engine.built.engine.reachability.mark_unreachable(BOT_ID, 501, "Forbidden: bot was blocked by the user")

    with pytest.raises(TelegramForbiddenError):
        await chat.submit(SendMessage(chat_id=501, text="hello"))

    assert await write_to_all("weekly") == []


async def test_it_may_be_called_in_another_thread(engine: Engine) -> None:
    await wrote(engine, *CHATS)

    assert await asyncio.to_thread(lambda: asyncio.run(write_to_all("weekly"))) == list(CHATS)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"at": "4 pm"}, "at should be a time of day"),
        ({"default_zone": "Berlin"}, "should be an IANA time zone such as Europe/Berlin"),
        ({"quiet_hours": ("22:00", "8")}, "quiet_hours.until should be a time of day"),
        ({"campaign": ""}, "campaign should have 1 to 64 printable characters"),
        ({"tags": [""]}, "tags.0 should have 1 to 64 printable characters"),
        ({"delivery": "twice"}, "delivery"),
    ],
)
async def test_what_makes_no_sense_is_said_by_its_name(engine: Engine, wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        await anext(tempogram.select(BOT_ID, **{"campaign": "weekly"} | wanted))


async def test_a_bot_that_does_not_run_here_is_refused(engine: Engine) -> None:
    with pytest.raises(Refusal):
        await anext(tempogram.select(BOT_ID + 1, campaign="weekly"))
