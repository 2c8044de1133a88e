"""The functions of ``tempogram``, in a program that runs, against a simulated Telegram."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramRetryAfter,
)
from aiogram.methods import EditMessageText, GetMe, SendDocument, SendMessage, SendPhoto
from aiogram.types import BufferedInputFile, FSInputFile, Message

import tempogram
from tempogram.api.schemas.messages import BATCH_MAX
from tempogram.bot import wiring
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Outgoing, Priority, Status
from tempogram.engine.ports import Accepted, Known
from tempogram.simulator import Fault
from tests.bot.embedding.started import BOT_ID, Engine, started
from tests.end_to_end.program import ADMIN_TOKEN


def hello(chat_id: int = 7, text: str = "hello") -> SendMessage:
    return SendMessage(chat_id=chat_id, text=text)


# send


async def test_a_sent_message_is_returned_as_telegram_answers_it(engine: Engine) -> None:
    message = await tempogram.send(engine.bot, hello())

    assert isinstance(message, Message)
    assert (message.text, message.message_id > 0) == ("hello", True)
    assert engine.shown(7) == ["hello"]


async def test_a_bot_may_be_named_by_its_id(engine: Engine) -> None:
    await tempogram.send(BOT_ID, hello())

    assert engine.shown(7) == ["hello"]


async def test_a_message_that_waits_for_too_long_is_returned_as_a_handle_and_sent_later(engine: Engine) -> None:
    await engine.pause()

    handle = await tempogram.send(engine.bot, hello(), wait_s=0)
    edited = await tempogram.send(
        engine.bot, EditMessageText(chat_id=7, message_id=handle.message_id, text="good evening"), wait_s=0
    )
    await engine.resume()
    await engine.until_sent()

    assert handle.message_id < 0
    assert (await tempogram.state(handle.tempogram_id)).status is Status.SENT  # type: ignore[attr-defined]
    assert isinstance(edited, Message)
    assert engine.shown(7) == ["good evening"]


@pytest.mark.parametrize(("setting", "wait_s"), [({}, 2.0), ({"telegram_rate_limit_wait": 0.5}, 0.5)])
async def test_without_a_time_it_waits_as_the_setting_says_or_two_seconds(
    tmp_path: Path, setting: dict[str, float], wait_s: float
) -> None:
    async with started(tmp_path, **setting) as engine:
        await engine.pause()
        began_s = asyncio.get_running_loop().time()

        handle = await tempogram.send(engine.bot, hello())

        assert handle.message_id < 0
        assert asyncio.get_running_loop().time() - began_s >= wait_s


async def test_a_call_that_takes_no_place_is_made_at_once(engine: Engine) -> None:
    await engine.pause()

    me = await tempogram.send(BOT_ID, GetMe())

    assert me.username == "test_bot"


async def test_what_telegram_refuses_is_raised_as_aiogram_raises_it(engine: Engine) -> None:
    engine.telegram.order(Fault(kind="blocked", chat_id=7))

    with pytest.raises(TelegramForbiddenError):
        await tempogram.send(engine.bot, hello())


async def test_a_negative_wait_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="wait_s should be 0 or more seconds, not -1"):
        await tempogram.send(engine.bot, hello(), wait_s=-1)


# submit


async def test_a_submitted_message_is_stored_with_its_options_and_not_waited_for(engine: Engine) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)

    submitted = await tempogram.submit(
        engine.bot,
        hello(),
        priority="low",
        send_at=at,
        expires_in_s=60,
        delivery="at_most_once",
        tag="spring",
        dedup_key="one",
    )
    state = await tempogram.state(submitted.id)

    assert submitted == tempogram.Submitted(submitted.id, Status.QUEUED)
    assert (state.priority, state.tag, state.status) == (Priority.LOW, "spring", Status.QUEUED)
    assert state.send_at is not None
    assert state.expires_at is not None
    assert abs(state.send_at - at) < timedelta(milliseconds=1)
    assert state.expires_at - state.send_at == timedelta(seconds=60)


async def test_what_a_call_says_wins_over_its_block_and_the_block_over_its_update(engine: Engine) -> None:
    await engine.pause()
    with (
        update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)),
        tempogram.options(priority="low", tag="spring"),
    ):
        one = await tempogram.submit(engine.bot, hello(), priority="normal")
        two = await tempogram.submit(engine.bot, hello(), tag="sale")
    with update_context.of(UpdateContext(BOT_ID, 12, Priority.HIGH)):
        three = await tempogram.submit(engine.bot, hello())

    shown = [await tempogram.state(each.id) for each in (one, two, three)]
    assert [(each.priority, each.tag) for each in shown] == [
        (Priority.NORMAL, "spring"),
        (Priority.LOW, "sale"),
        (Priority.HIGH, None),
    ]


async def test_a_key_is_accepted_once_in_python_and_over_http(engine: Engine) -> None:
    await engine.pause()
    first = await tempogram.submit(engine.bot, hello(), dedup_key="order-7")
    again = await tempogram.submit(engine.bot, hello(), dedup_key="order-7")
    transport = httpx.ASGITransport(app=wiring.app_of(engine.built))
    bearer = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://tempogram", headers=bearer) as api:
        body = {"bot": str(BOT_ID), "chat_id": 7, "text": "hello", "dedup_key": "order-7"}
        over_http = (await api.post("/messages", json=body)).json()

    assert again == first
    assert over_http == {"id": first.id, "status": "queued"}


async def test_a_handler_that_runs_again_submits_nothing_twice(engine: Engine) -> None:
    await engine.pause()

    async def handler() -> list[tempogram.Submitted | Exception]:
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.NORMAL)):
            one = await tempogram.submit(engine.bot, hello())
            return [one, *await tempogram.submit_many(engine.bot, [hello(), hello(8)])]

    assert await handler() == await handler()


async def test_what_is_not_accepted_raises_aiograms_own_exception(engine: Engine) -> None:
    with pytest.raises(TelegramBadRequest, match=r"getMe does not pass the queue; await bot\(method\)"):
        await tempogram.submit(engine.bot, GetMe())
    too_large = BufferedInputFile(bytes(51 << 20), "cat.jpg")
    with pytest.raises(TelegramEntityTooLarge):
        await tempogram.submit(engine.bot, SendPhoto(chat_id=7, photo=too_large))


async def test_a_full_queue_raises_as_aiogram_raises_a_limit(tmp_path: Path) -> None:
    async with started(tmp_path, queue_chat_cap=1) as engine:
        await engine.pause()
        await tempogram.submit(engine.bot, hello())

        with pytest.raises(TelegramRetryAfter):
            await tempogram.submit(engine.bot, hello())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"priority": "urgent"}, "priority should be 'high', 'normal' or 'low', not 'urgent'"),
        ({"send_at": datetime(2030, 1, 1)}, "send_at should be ISO 8601 with a zone"),  # noqa: DTZ001 - that is wrong
        ({"dedup_key": "два"}, "dedup_key "),
        ({"expires_in_s": -1}, "expires_in_s should be greater than 0, not -1"),
        ({"tag": ""}, "tag should have 1 to 64 printable characters"),
    ],
)
async def test_an_option_that_makes_no_sense_is_refused_in_one_sentence(
    engine: Engine, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is compared below
        await tempogram.submit(engine.bot, hello(), **options)  # type: ignore[arg-type]

    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


# submit_many


async def test_a_batch_is_accepted_by_one_write_and_sent_in_its_order(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, add = list[int](), engine.built.storage.ledger.add

    async def counted(messages: Sequence[Outgoing]) -> list[Accepted | Known]:
        writes.append(len(messages))
        return await add(messages)

    await engine.pause()
    monkeypatch.setattr(engine.built.storage.ledger, "add", counted)
    answers = await tempogram.submit_many(engine.bot, [hello(7, str(number)) for number in range(3)], tag="spring")
    await engine.resume()
    await engine.until_sent()

    assert writes == [3]
    assert [type(each) for each in answers] == [tempogram.Submitted] * 3
    assert engine.shown(7) == ["0", "1", "2"]


async def test_a_refused_call_of_a_batch_does_not_affect_the_others(engine: Engine, tmp_path: Path) -> None:
    missing = SendDocument(chat_id=7, document=FSInputFile(tmp_path / "missing.pdf"))
    too_large = SendPhoto(chat_id=7, photo=BufferedInputFile(bytes(51 << 20), "cat.jpg"))

    answers = await tempogram.submit_many(engine.bot, [hello(), GetMe(), missing, too_large, hello(8)])

    assert [type(each) for each in answers] == [
        tempogram.Submitted,
        TelegramBadRequest,
        FileNotFoundError,
        TelegramEntityTooLarge,
        tempogram.Submitted,
    ]


async def test_the_files_of_a_batch_are_sent(engine: Engine) -> None:
    photos = [
        SendPhoto(chat_id=7, photo=BufferedInputFile(f"bytes of {name}".encode(), name), caption=name)
        for name in ("a.jpg", "b.jpg")
    ]

    answers = await tempogram.submit_many(engine.bot, photos)
    await engine.until_sent()

    states = [await tempogram.state(each.id) for each in answers if isinstance(each, tempogram.Submitted)]
    assert engine.shown(7) == ["a.jpg", "b.jpg"]
    assert [[file.file_name for file in each.files] for each in states] == [["a.jpg"], ["b.jpg"]]


async def test_a_batch_that_is_too_large_is_refused_as_a_whole(engine: Engine) -> None:
    with pytest.raises(ValueError, match="a batch may have at most 10,000 messages, and this one has 10,001"):
        await tempogram.submit_many(engine.bot, [hello()] * (BATCH_MAX + 1))

    assert (await tempogram.stats())["total_queued"] == 0


async def test_other_tasks_run_while_a_batch_is_composed(engine: Engine) -> None:
    await engine.pause()
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(another())
    await tempogram.submit_many(engine.bot, [hello(number) for number in range(1, 501)])
    task.cancel()

    assert turns >= 10


async def test_a_batch_of_nothing_is_answered_with_nothing(engine: Engine) -> None:
    assert await tempogram.submit_many(engine.bot, []) == []


async def test_a_batch_that_the_database_does_not_take_is_raised_and_leaves_no_file(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = list[str]()

    async def refuse(_: Sequence[Outgoing]) -> list[Accepted | Known]:
        raise LedgerError("the database is away")

    async def forget(message_id: str) -> None:
        forgotten.append(message_id)

    monkeypatch.setattr(engine.built.storage.ledger, "add", refuse)
    monkeypatch.setattr(engine.built.storage.uploads, "forget", forget)
    photo = SendPhoto(chat_id=7, photo=BufferedInputFile(b"bytes", "a.jpg"))
    with pytest.raises(LedgerError):
        await tempogram.submit_many(engine.bot, [photo, hello()])

    assert len(forgotten) == 1


# What became of a message


async def test_a_message_that_a_user_answers_is_found_by_its_number(engine: Engine) -> None:
    sent = await tempogram.send(engine.bot, hello())
    await tempogram.send(engine.bot, EditMessageText(chat_id=7, message_id=sent.message_id, text="good evening"))

    found = await tempogram.find(engine.bot, 7, sent.message_id)

    assert found is not None
    assert (found.method, found.status, found.telegram_message_id) == ("sendMessage", Status.SENT, sent.message_id)
    assert await tempogram.find(BOT_ID, 7, sent.message_id + 1) is None


async def test_a_cancelled_message_is_never_sent(engine: Engine) -> None:
    await engine.pause()
    submitted = await tempogram.submit(engine.bot, hello())

    await tempogram.cancel(submitted.id)
    await engine.resume()
    await tempogram.send(engine.bot, hello(8))

    assert (await tempogram.state(submitted.id)).status is Status.CANCELLED
    assert engine.shown(7) == []


async def test_a_message_that_was_sent_cannot_be_cancelled_or_explained(engine: Engine) -> None:
    message = await tempogram.send(engine.bot, hello())
    submitted = await tempogram.submit(engine.bot, hello(text=str(message.message_id)))
    await engine.until_sent()

    for function in (tempogram.cancel, tempogram.explain):
        with pytest.raises(tempogram.Conflict, match="has ended as sent"):
            await function(submitted.id)


@pytest.mark.parametrize("message_id", ["0" * 26, "no such id!", "a\x00b", ""])
async def test_an_unknown_id_is_one_clear_error(engine: Engine, message_id: str) -> None:
    for function in (tempogram.cancel, tempogram.state, tempogram.explain):
        with pytest.raises(tempogram.NotFound, match=r"^there is no message '"):
            await function(message_id)


async def test_stats_have_the_shape_of_the_api(engine: Engine) -> None:
    await engine.pause()
    await tempogram.submit(engine.bot, hello(), priority="low")

    assert await tempogram.stats() == {
        "stats": {"high": 0, "normal": 0, "low": 1, "retry": 0, "dlq": 0},
        "total_queued": 1,
        "total_failed": 0,
    }


async def test_an_explanation_names_what_a_message_waits_for(engine: Engine) -> None:
    await engine.pause()
    submitted = await tempogram.submit(engine.bot, hello(), tag="spring")

    explained = await tempogram.explain(submitted.id)

    assert (explained.waits_at, explained.before_in_lane, explained.tag) == ("bot_paused", 0, "spring")


async def test_dead_letters_come_in_pages_and_by_tag_and_bot(engine: Engine) -> None:
    for chat_id in (7, 8):
        engine.telegram.order(Fault(kind="chat_not_found", chat_id=chat_id))
    await tempogram.submit(engine.bot, hello(7), tag="spring")
    await tempogram.submit(engine.bot, hello(8))
    await engine.until_sent()

    first = await tempogram.dead_letters(limit=1)
    second = await tempogram.dead_letters(after=first.next_after or "", limit=1)
    spring = await tempogram.dead_letters(tag="spring", bot_id=BOT_ID)

    assert [each.tag for each in (*first.letters, *second.letters)] == ["spring", None]
    assert (second.next_after, [each.tag for each in spring.letters]) == (None, ["spring"])
    assert (await tempogram.dead_letters(bot_id=43)).letters == []
    with pytest.raises(ValueError, match="limit should be 1 to 1,000, not 0"):
        await tempogram.dead_letters(limit=0)
