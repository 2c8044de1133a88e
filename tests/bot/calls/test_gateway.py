"""What an awaited call returns, and what it raises. The engine is the real one, the network is scripted."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import (
    CopyMessage,
    CopyMessages,
    DeleteMessage,
    EditMessageText,
    SendChatAction,
    SendMediaGroup,
    SendMessage,
    StopPoll,
)
from aiogram.types import (
    BufferedInputFile,
    ChatInviteLink,
    FSInputFile,
    InputFile,
    InputMediaPhoto,
    InputMediaVideo,
    Message,
    Poll,
    URLInputFile,
)

from tempogram.api.usecases.submissions import Submitted
from tempogram.bot.calls.answers import FULL_QUEUE_RETRY_S
from tempogram.bot.calls.call_options import CallOptions
from tempogram.bot.calls.endings import REREAD_S
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.calls.place_wait import LAST_WAIT_S
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.edit_coalescing import edits_made_needless
from tempogram.bot.telegram.methods import COUNTED, QUEUED
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.errors import LedgerError, QueueFull
from tempogram.engine.model.messages import Priority, Rest, Status
from tempogram.engine.model.outcomes import Failed, HalfSent, Outcome, Rejected, Sent, Throttled, Uncertain
from tempogram.engine.resilience.backoff import RetryPolicy
from tests.bot.fakes import BOT_ID, TOKEN, UPLOAD_BYTES_MAX, DictUploads, DirectSession, TokenList
from tests.bot.gateways import desk_gateway, under_every_bot
from tests.engine.desk import UNLIMITED, Desk, soon, turns
from tests.fakes import START_MS

AWAITED_S = 5.0
HALF_BLOCKED = HalfSent(2, Rest("sendPhoto", b"{}", 1), Rejected(403, "Forbidden: bot was blocked", unreachable=True))
POLL = {
    "id": "1",
    "question": "?",
    "options": [],
    "total_voter_count": 0,
    "is_closed": True,
    "is_anonymous": True,
    "type": "regular",
    "allows_multiple_answers": False,
    "allows_revoting": False,
    "members_only": False,
}
HALF_SENT = HalfSent(2, Rest("sendPhoto", b"{}", 1), Rejected(400, "Bad Request: WEBPAGE_CURL_FAILED"))


@dataclass
class Caller:
    """A bot, and the engine under it."""

    bot: Bot
    desk: Desk
    gateway: Gateway
    uploads: DictUploads
    tokens: TokenList

    async def send(self, text: str = "hello", chat_id: int = 7) -> Message:
        return await self.bot.send_message(chat_id, text)

    @property
    def ids(self) -> list[str]:
        return list(self.desk.ledger.messages)


@contextlib.asynccontextmanager
async def calling(*, wait_s: float | None = AWAITED_S, limits: Limits = UNLIMITED) -> AsyncIterator[Caller]:
    uploads, tokens = DictUploads(), TokenList()
    desk = Desk(limits=limits, retries=RetryPolicy(retries_max=0))
    desk.makes_needless = edits_made_needless
    gateway = desk_gateway(desk, worker=desk.worker, uploads=uploads, tokens=tokens, wait_s=wait_s)
    with under_every_bot(gateway):
        yield Caller(Bot(TOKEN, session=DirectSession()), desk, gateway, uploads, tokens)


class LoopClock:
    """The event loop's time, which passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    async def advance(self, seconds: float) -> None:
        self.now_s += seconds
        await turns()


@pytest.fixture
async def loop_clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    clock = LoopClock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    return clock


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as caller:
        yield caller


@pytest.fixture
async def hurried() -> AsyncIterator[Caller]:
    """A caller that does not wait, while its bot has no place."""
    async with calling(wait_s=0) as caller:
        await caller.desk.broker.pause(BOT_ID, paused=True)
        yield caller


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(AWAITED_S):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)


def answered(**message: Any) -> Sent:
    result = {"message_id": 99, "date": START_MS // 1_000, "chat": {"id": 7, "type": "private"}} | message
    return Sent(99, msgspec.json.encode({"ok": True, "result": result}))


async def test_an_answered_call_returns_what_aiogram_would(caller: Caller) -> None:
    caller.desk.transport.answers(answered(text="hello"))

    message = await caller.send()

    assert (message.message_id, message.chat.id, message.text) == (99, 7, "hello")
    assert message.bot is caller.bot


async def test_a_call_may_return_another_type_than_a_message(caller: Caller) -> None:
    caller.desk.transport.answers(Sent(None, b'{"ok":true,"result":true}'))

    edited = await caller.bot(EditMessageText(inline_message_id="AbC", text="b"))

    assert edited is True


async def test_a_message_that_its_chat_removed_at_once_is_raised_as_telegram_answered(caller: Caller) -> None:
    caller.desk.transport.answers(
        Sent(None, b'{"ok":true,"result":null}', removed="sent message was immediately deleted")
    )

    with pytest.raises(TelegramServerError, match="immediately deleted"):
        await caller.send()

    assert caller.desk.ledger.statuses[caller.ids[0]] is Status.SENT


async def test_a_call_that_still_waits_returns_a_handle_with_our_id(hurried: Caller) -> None:
    message = await hurried.send(chat_id=-1005)

    assert message.message_id == -1
    assert (message.chat.id, message.chat.type) == (-1005, "supergroup")
    assert message.tempogram_id == hurried.ids[0]  # type: ignore[attr-defined]


async def test_a_message_whose_caller_timed_out_is_still_sent(hurried: Caller) -> None:
    await hurried.send()

    await hurried.desk.broker.pause(BOT_ID, paused=False)
    await hurried.desk.work()

    assert list(hurried.desk.ledger.statuses.values()) == [Status.SENT]
    assert hurried.desk.results.awaited == 0


async def test_the_time_that_telegram_takes_is_not_counted_as_waiting(loop_clock: LoopClock) -> None:
    async with calling(wait_s=2) as caller:
        caller.desk.transport.answers(answered(text="hello"))
        caller.desk.transport.close()
        sending = asyncio.create_task(caller.send())
        await soon(caller.desk.transport.arrived)

        await loop_clock.advance(3)
        assert not sending.done()
        caller.desk.transport.open()

        assert (await sending).message_id == 99


async def test_a_free_place_is_waited_for_even_by_a_caller_that_waits_for_none() -> None:
    async with calling(wait_s=0) as caller:
        caller.desk.transport.answers(answered(text="hello"))

        assert (await caller.send()).message_id == 99


async def test_the_waits_for_a_place_before_each_try_add_up(loop_clock: LoopClock) -> None:
    async with calling(wait_s=2) as caller:
        desk = caller.desk
        await desk.broker.pause(BOT_ID, paused=True)
        sending = asyncio.create_task(caller.send())
        await turns()
        await loop_clock.advance(1.5)
        await desk.broker.pause(BOT_ID, paused=False)
        desk.transport.close()
        desk.transport.answers(Throttled(60_000))
        calling_now = asyncio.create_task(desk.send(await desk.lease()))
        await turns()
        await loop_clock.advance(10)
        desk.transport.open()
        await calling_now
        await loop_clock.advance(0.4)
        waits_still = not sending.done()
        await loop_clock.advance(0.2)

        assert waits_still
        assert (await sending).message_id == -1


async def test_a_call_whose_process_has_ended_counts_as_waiting_in_the_end(loop_clock: LoopClock) -> None:
    async with calling(wait_s=2) as caller:
        caller.desk.transport.close()
        sending = asyncio.create_task(caller.send())
        await soon(caller.desk.transport.arrived)

        await loop_clock.advance(31)
        waits_still = not sending.done()
        await loop_clock.advance(2)

        assert waits_still
        assert (await sending).message_id == -1
        caller.desk.transport.open()
        await turns()


async def test_a_waiting_album_and_a_waiting_copy_return_handles(hurried: Caller) -> None:
    album = await hurried.bot(SendMediaGroup(chat_id=7, media=[InputMediaPhoto(media="id")] * 2))
    copy = await hurried.bot(CopyMessage(chat_id=8, from_chat_id=7, message_id=3))
    copies = await hurried.bot(CopyMessages(chat_id=9, from_chat_id=7, message_ids=[3, 4]))

    said: list[Any] = [*album, copy, *copies]
    assert [each.message_id for each in said] == [-1, -2, -3, -4, -5]
    assert list(dict.fromkeys(each.tempogram_id for each in said)) == hurried.ids


async def test_a_waiting_edit_returns_the_message_as_it_asked_for(hurried: Caller) -> None:
    edited = await hurried.bot.edit_message_text("b", chat_id=-1005, message_id=3)

    assert isinstance(edited, Message)
    assert (edited.message_id, edited.chat.id, edited.text, edited.bot) == (3, -1005, "b", hurried.bot)


@pytest.mark.parametrize(
    ("method", "result"),
    [
        (EditMessageText(inline_message_id="AbC", text="b"), True),
        (DeleteMessage(chat_id=7, message_id=3), True),
        (StopPoll(chat_id=7, message_id=3), POLL),
    ],
    ids=["an inline edit", "a delete", "a poll's end"],
)
async def test_a_call_without_a_value_for_one_that_waits_is_waited_for(
    hurried: Caller, method: Any, result: Any
) -> None:
    calling = asyncio.create_task(hurried.bot(method))
    await until(lambda: len(hurried.ids) == 1)
    await turns()
    waits = not calling.done()
    hurried.desk.transport.answers(Sent(None, msgspec.json.encode({"ok": True, "result": result})))

    await hurried.desk.broker.pause(BOT_ID, paused=False)
    await hurried.desk.work()

    assert waits
    assert (await calling).__class__ is (Poll if result is POLL else bool)


@pytest.mark.parametrize(
    ("outcome", "expected", "words"),
    [
        (Rejected(400, "Bad Request: chat not found"), TelegramBadRequest, "Bad Request: chat not found"),
        (
            Rejected(403, "Forbidden: bot was blocked by the user", unreachable=True),
            TelegramForbiddenError,
            "Forbidden: bot was blocked by the user",
        ),
        (Rejected(404, "Not Found: method not found"), TelegramNotFound, "Not Found: method not found"),
        (Rejected(413, "Request Entity Too Large"), TelegramEntityTooLarge, "Request Entity Too Large"),
        (Failed("HTTP 502", 502), TelegramServerError, "the message is dead: HTTP 502"),
        (Failed("ClientOSError"), TelegramNetworkError, "the message is dead: ClientOSError"),
        (Failed("HTTP 403", 403), TelegramAPIError, "the message is dead: HTTP 403"),
        (HALF_SENT, TelegramBadRequest, HALF_SENT.reason),
        (HALF_BLOCKED, TelegramForbiddenError, HALF_BLOCKED.reason),
        (Uncertain("ServerDisconnectedError"), TelegramNetworkError, "the message is dead: ServerDisconnectedError"),
    ],
    ids=repr,
)
async def test_a_refusal_raises_aiograms_own_exception(
    caller: Caller, outcome: Outcome, expected: type[Exception], words: str
) -> None:
    caller.desk.transport.answers(outcome)

    with pytest.raises(expected) as refused:
        await caller.send()

    assert type(refused.value) is expected
    assert words in str(refused.value)


async def test_a_429_is_not_raised_to_the_caller(caller: Caller) -> None:
    caller.desk.transport.answers(Throttled(7_000), answered(text="hello"))
    sending = asyncio.create_task(caller.send())
    await soon(caller.desk.transport.arrived)
    await turns()

    caller.desk.clock.advance(7_000)
    with caller.desk.worker.reserved(1) as slots:
        slots.leased = await caller.desk.broker.lease(worker_id="w", slots=1)

    assert (await sending).message_id == 99


async def test_cancelling_the_caller_does_not_cancel_the_message(caller: Caller) -> None:
    caller.desk.transport.close()
    sending = asyncio.create_task(caller.send())
    await soon(caller.desk.transport.arrived)

    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    caller.desk.transport.open()
    await turns()

    assert list(caller.desk.ledger.statuses.values()) == [Status.SENT]
    assert caller.desk.results.awaited == 0


async def test_cancelling_the_caller_while_the_ledger_writes_does_not_cancel_the_message(caller: Caller) -> None:
    caller.desk.ledger.held_up = asyncio.Event()
    sending = asyncio.create_task(caller.send())
    await turns()

    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    caller.desk.ledger.held_up.set()
    await soon(caller.desk.transport.arrived)
    await turns()

    assert list(caller.desk.ledger.statuses.values()) == [Status.SENT]


async def test_a_full_queue_is_raised_at_once() -> None:
    async with calling(limits=Limits(chat_cap=1, guard_ms=0)) as caller:
        await caller.desk.broker.pause(BOT_ID, paused=True)
        waiting = asyncio.create_task(caller.send())
        await turns()

        with pytest.raises(QueueFull, match="chat 7 of bot 42 has 1 messages waiting"):
            await caller.send()
        waiting.cancel()


@pytest.mark.parametrize("is_awaited", [True, False], ids=["awaited", "returned by a handler"])
async def test_a_full_queue_is_raised_as_aiogram_raises_a_limit(*, is_awaited: bool) -> None:
    async with calling(limits=Limits(chat_cap=1, guard_ms=0)) as caller:
        await caller.desk.broker.pause(BOT_ID, paused=True)
        call, rule = SendMessage(chat_id=7, text="a"), COUNTED["sendMessage"]
        await caller.gateway.submit(caller.bot, call, rule)

        with pytest.raises(TelegramRetryAfter) as refused:
            await (caller.bot(call) if is_awaited else caller.gateway.submit(caller.bot, call, rule))

        assert str(refused.value).startswith("Tempogram says - chat 7 of bot 42 has 1 messages waiting")
        assert refused.value.retry_after == FULL_QUEUE_RETRY_S


async def test_a_call_that_the_engine_refuses_raises_aiograms_own_exception(caller: Caller) -> None:
    caller.tokens.removed = True

    with pytest.raises(TelegramBadRequest, match="removed"):
        await caller.send()
    with pytest.raises(TelegramBadRequest, match="removed"):
        await caller.gateway.submit(caller.bot, SendMessage(chat_id=7, text="a"), COUNTED["sendMessage"])
    assert caller.ids == []


async def test_a_call_that_the_database_will_never_take_raises_aiograms_own_exception(caller: Caller) -> None:
    caller.desk.ledger.unstorable = {7}
    methods = [SendMessage(chat_id=chat_id, text="a") for chat_id in (6, 7, 8)]

    with pytest.raises(TelegramBadRequest, match="Bad Request: the database takes no such value"):
        await caller.send()
    with pytest.raises(TelegramBadRequest, match="Bad Request: the database takes no such value"):
        await caller.gateway.submit(caller.bot, methods[1], COUNTED["sendMessage"])
    answers = await caller.gateway.submit_many(caller.bot, methods, CallOptions())

    assert [type(answer) for answer in answers] == [Submitted, TelegramBadRequest, Submitted]


async def test_a_failed_write_to_the_ledger_is_raised(caller: Caller) -> None:
    caller.desk.ledger.refused_words = ["add", "add"]

    with pytest.raises(LedgerError):
        await caller.send()

    assert caller.desk.results.awaited == 0


class OwnFile(InputFile):
    """A kind of file that a user made."""

    async def read(self, bot: Bot) -> AsyncGenerator[bytes, None]:
        yield b"by"
        yield b"tes"


@pytest.fixture(params=["buffered", "file system", "url", "own"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> InputFile:
    path = tmp_path / "a.txt"
    path.write_bytes(b"bytes")
    files = {
        "buffered": BufferedInputFile(b"bytes", "a.txt"),
        "file system": FSInputFile(path),
        "url": URLInputFile("http://example.org/a.txt", filename="a.txt"),
        "own": OwnFile("a.txt"),
    }
    return files[request.param]


async def test_each_kind_of_file_is_kept_before_its_message_is_accepted(hurried: Caller, file: InputFile) -> None:
    hurried.desk.ledger.held_up = asyncio.Event()
    sending = asyncio.create_task(hurried.bot.send_document(7, file))
    await until(lambda: "add" in hurried.desk.journal)

    (carried,) = next(iter(hurried.uploads.carried.values()))
    content = b"a file" if isinstance(file, URLInputFile) else b"bytes"
    assert hurried.uploads.contents == {carried.sha256: content}
    assert (carried.file_name, carried.kind, carried.size_bytes) == ("a.txt", "document", len(content))
    assert hurried.ids == []

    hurried.desk.ledger.held_up.set()
    await sending


async def test_a_message_that_the_ledger_does_not_take_leaves_no_file(caller: Caller) -> None:
    caller.desk.ledger.refused_words = ["add", "add"]

    with pytest.raises(LedgerError):
        await caller.bot.send_document(7, BufferedInputFile(b"bytes", "a.txt"))

    assert (caller.uploads.carried, caller.uploads.contents) == ({}, {})


async def test_no_file_is_stored_for_an_unreachable_chat(caller: Caller) -> None:
    await caller.desk.reachability.mark_unreachable(BOT_ID, 7, BLOCKED)
    caller.uploads.held_up = asyncio.Event()  # never reached

    with pytest.raises(TelegramForbiddenError, match=BLOCKED):
        await caller.bot.send_document(7, BufferedInputFile(b"bytes", "a.txt"))

    assert caller.uploads.carried == {}


async def test_no_file_remains_if_its_chat_is_lost_meanwhile(caller: Caller) -> None:
    caller.uploads.held_up = asyncio.Event()
    sending = asyncio.create_task(caller.bot.send_document(7, BufferedInputFile(b"bytes", "a.txt")))
    await until(lambda: bool(caller.uploads.carried))

    await caller.desk.reachability.mark_unreachable(BOT_ID, 7, BLOCKED)
    caller.uploads.held_up.set()

    with pytest.raises(TelegramForbiddenError, match=BLOCKED):
        await sending
    assert (caller.uploads.carried, caller.uploads.contents) == ({}, {})


async def test_a_bot_removed_while_its_file_is_stored_submits_nothing(caller: Caller) -> None:
    caller.uploads.held_up = asyncio.Event()
    sending = asyncio.create_task(caller.bot.send_document(7, BufferedInputFile(b"bytes", "a.txt")))
    await until(lambda: bool(caller.uploads.carried))

    caller.tokens.removed = True
    caller.uploads.held_up.set()

    with pytest.raises(TelegramBadRequest, match="removed"):
        await sending
    assert (caller.ids, caller.uploads.carried) == ([], {})


async def test_a_message_is_accepted_under_the_id_that_its_file_was_kept_for(hurried: Caller) -> None:
    await hurried.bot.send_document(7, BufferedInputFile(b"bytes", "a.txt"))

    assert hurried.ids == list(hurried.uploads.carried)


async def test_an_album_carries_its_files_and_their_thumbnails_and_costs_its_items(hurried: Caller) -> None:
    file, thumbnail = BufferedInputFile(b"bytes", "a.mp4"), BufferedInputFile(b"small", "a.jpg")

    await hurried.bot.send_media_group(7, [InputMediaVideo(media=file, thumbnail=thumbnail)] * 3)

    (message,) = hurried.desk.ledger.messages.values()
    assert sorted(str(each.kind) for each in hurried.uploads.carried[message.id]) == ["None"] * 3 + ["video"] * 3
    assert message.cost == 3


async def test_a_file_that_is_too_large_is_refused_as_telegram_would_before_anything_is_accepted(
    caller: Caller,
) -> None:
    with pytest.raises(TelegramEntityTooLarge, match=r"accepts 1,000 bytes from a bot, and it has 1,001 bytes"):
        await caller.bot.send_document(7, BufferedInputFile(b"x" * (UPLOAD_BYTES_MAX + 1), "a.txt"))

    assert (caller.ids, caller.uploads.carried) == ([], {})


async def test_a_caller_cancelled_while_its_file_is_stored_leaves_no_file(caller: Caller) -> None:
    caller.uploads.held_up = asyncio.Event()
    sending = asyncio.create_task(caller.bot.send_document(7, BufferedInputFile(b"bytes", "a.txt")))
    await turns()
    carried = len(caller.uploads.carried)

    sending.cancel()
    await asyncio.wait([sending])

    assert (carried, caller.uploads.carried, caller.ids) == (1, {}, [])


async def test_a_missing_file_is_raised_to_the_caller(caller: Caller) -> None:
    with pytest.raises(FileNotFoundError):
        await caller.bot.send_document(7, FSInputFile("nowhere/a.txt"))

    assert caller.ids == []


async def test_a_call_repeated_for_the_same_update_keeps_its_file_once(hurried: Caller) -> None:
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            await hurried.bot.send_document(7, BufferedInputFile(b"bytes", "a.txt"))

    assert hurried.ids == list(hurried.uploads.carried)


async def test_a_call_outside_of_a_handler_is_normal_and_has_no_key(caller: Caller) -> None:
    await caller.gateway.submit(caller.bot, SendMessage(chat_id=7, text="a"), COUNTED["sendMessage"])

    (message,) = caller.desk.ledger.messages.values()
    assert (message.priority, message.dedup_key) == (Priority.NORMAL, None)


async def test_a_call_repeated_for_the_same_update_is_submitted_once(hurried: Caller) -> None:
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            await hurried.send("first")
            await hurried.send("second", chat_id=8)

    kept = list(hurried.desk.ledger.messages.values())
    assert [message.dedup_key for message in kept] == [
        f"update:{BOT_ID}:11:sendMessage:7:1",
        f"update:{BOT_ID}:11:sendMessage:8:1",
    ]
    assert {message.priority for message in kept} == {Priority.HIGH}


async def test_a_repeated_call_returns_the_first_ones_handle(hurried: Caller) -> None:
    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
        await hurried.send()
    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
        again = await hurried.send()

    assert (again.message_id, again.tempogram_id) == (-1, hurried.ids[0])  # type: ignore[attr-defined]


async def test_an_edit_that_a_newer_one_replaced_returns_at_once_what_it_asked_for(caller: Caller) -> None:
    await caller.desk.broker.pause(BOT_ID, paused=True)
    edits = [asyncio.create_task(caller.bot.edit_message_text(text, chat_id=7, message_id=1)) for text in ("a", "b")]

    replaced = await asyncio.wait_for(edits[0], AWAITED_S)

    assert isinstance(replaced, Message)
    assert (replaced.message_id, replaced.chat.id, replaced.text) == (1, 7, "a")
    assert not edits[1].done()
    edits[1].cancel()


async def test_an_edit_of_an_inline_message_that_a_newer_one_replaced_returns_true(caller: Caller) -> None:
    """As Telegram answers an edit of a message that it does not show."""
    await caller.desk.broker.pause(BOT_ID, paused=True)
    edits = [asyncio.create_task(caller.bot(EditMessageText(inline_message_id="A", text=text))) for text in "ab"]

    assert await asyncio.wait_for(edits[0], AWAITED_S) is True
    edits[1].cancel()


async def test_a_replaced_edit_that_its_handler_repeats_returns_what_it_asked_for(caller: Caller) -> None:
    await caller.desk.broker.pause(BOT_ID, paused=True)
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            first = asyncio.create_task(caller.bot.edit_message_text("a", chat_id=7, message_id=1))
            await turns()
        newer = asyncio.create_task(caller.bot.edit_message_text("b", chat_id=7, message_id=1))
        replaced = await asyncio.wait_for(first, AWAITED_S)

        assert isinstance(replaced, Message)
        assert (replaced.message_id, replaced.text) == (1, "a")
        await turns()
        newer.cancel()


async def test_a_call_that_its_handler_repeats_waits_for_the_first_ones_message(caller: Caller) -> None:
    await caller.desk.broker.pause(BOT_ID, paused=True)
    calls = []
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            calls.append(asyncio.create_task(caller.send()))
            await turns()
    caller.desk.transport.answers(answered(text="hello"))

    await caller.desk.broker.pause(BOT_ID, paused=False)
    await caller.desk.work()

    assert [(await call).text for call in calls] == ["hello", "hello"]
    assert len(caller.ids) == 1


async def test_a_result_that_was_lost_on_its_way_is_read_from_the_ledger(caller: Caller, loop_clock: LoopClock) -> None:
    await caller.desk.broker.pause(BOT_ID, paused=True)
    sending = asyncio.create_task(caller.send())
    await turns()
    caller.desk.results.is_deaf = True

    await caller.desk.broker.pause(BOT_ID, paused=False)
    await caller.desk.work()
    await loop_clock.advance(2 * REREAD_S)
    await loop_clock.advance(2 * REREAD_S)

    assert (await sending).message_id == 1


async def test_a_call_repeated_after_it_was_sent_returns_telegrams_number(caller: Caller) -> None:
    caller.desk.transport.answers(answered(text="hello"))
    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
        await caller.send()
    with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
        again = await caller.send()

    assert (again.message_id, again.tempogram_id) == (99, caller.ids[0])  # type: ignore[attr-defined]
    assert len(caller.desk.transport.leases) == 1


async def test_an_edit_repeated_after_it_was_sent_returns_what_it_asked_for(caller: Caller) -> None:
    caller.desk.transport.answers(answered(text="b"))
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            edited = await caller.bot(EditMessageText(chat_id=7, message_id=99, text="b"))

    assert isinstance(edited, Message)
    assert (edited.message_id, edited.text) == (99, "b")
    assert len(caller.desk.transport.leases) == 1


async def test_an_album_repeated_after_it_was_sent_returns_the_number_of_each_item(caller: Caller) -> None:
    album = [{"message_id": number, "date": 0, "chat": {"id": 7, "type": "private"}} for number in (98, 99)]
    body = msgspec.json.encode({"ok": True, "result": album})
    caller.desk.transport.answers(Sent(98, body, item_ids=(98, 99)))
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            sent = await caller.bot.send_media_group(7, [InputMediaPhoto(media=each) for each in "ab"])

        assert [message.message_id for message in sent] == [98, 99]
    assert len(caller.desk.transport.leases) == 1


BLOCKED = "Forbidden: bot was blocked by the user"


async def test_a_call_to_an_unreachable_chat_is_forbidden_without_a_call(caller: Caller) -> None:
    await caller.desk.reachability.mark_unreachable(BOT_ID, 7, BLOCKED)

    with pytest.raises(TelegramForbiddenError, match=BLOCKED):
        await caller.send()

    assert caller.ids == []
    assert caller.desk.results.awaited == 0


async def test_a_returned_call_to_an_unreachable_chat_stops_no_other(caller: Caller) -> None:
    await caller.desk.reachability.mark_unreachable(BOT_ID, 7, BLOCKED)

    for chat_id in (7, 8):
        await caller.gateway.submit(caller.bot, SendMessage(chat_id=chat_id, text="a"), COUNTED["sendMessage"])

    assert [message.chat_id for message in caller.desk.ledger.messages.values()] == [8]


async def test_an_album_whose_last_item_went_as_a_message_returns_a_list_of_it(caller: Caller) -> None:
    caller.desk.transport.answers(answered(caption="the last"))

    messages = await caller.bot.send_media_group(7, [InputMediaPhoto(media="a"), InputMediaPhoto(media="b")])

    assert [(message.message_id, message.caption) for message in messages] == [(99, "the last")]


# What takes no place


DONE = Sent(None, b'{"ok":true,"result":true}')
ONE_A_MINUTE = replace(UNLIMITED, chat=Limit(1, 60_000), group=Limit(1, 60_000))


@pytest.fixture
async def limited() -> AsyncIterator[Caller]:
    """A caller whose chats take one message a minute."""
    async with calling(limits=ONE_A_MINUTE) as caller:
        yield caller


async def test_an_uncounted_call_passes_the_engine_and_returns_true(limited: Caller) -> None:
    limited.desk.transport.answers(answered(), DONE, DONE)
    await limited.send()

    assert await limited.bot.delete_message(7, 99) is True
    assert await limited.bot.ban_chat_member(7, 5) is True

    methods = [lease.message.method for lease in limited.desk.transport.leases]
    assert methods == ["sendMessage", "deleteMessage", "banChatMember"]
    assert [message.cost for message in limited.desk.ledger.messages.values()] == [1, 0, 0]


async def test_an_uncounted_call_returns_the_object_that_telegram_answers(caller: Caller) -> None:
    link = {
        "invite_link": "https://t.me/+abc",
        "creator": {"id": 1, "is_bot": True, "first_name": "Bot"},
        "creates_join_request": False,
        "is_primary": False,
        "is_revoked": False,
    }
    caller.desk.transport.answers(
        Sent(None, msgspec.json.encode({"ok": True, "result": link})),
        Sent(None, b'{"ok":true,"result":"https://t.me/x"}'),
    )

    made = await caller.bot.create_chat_invite_link(-5, name="friends")
    exported = await caller.bot.export_chat_invite_link(-5)

    assert isinstance(made, ChatInviteLink)
    assert (made.invite_link, exported) == ("https://t.me/+abc", "https://t.me/x")


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Rejected(400, "Bad Request: message can't be deleted"), TelegramBadRequest),
        (Rejected(403, "Forbidden: not enough rights"), TelegramForbiddenError),
        (Rejected(404, "Not Found: method not found"), TelegramNotFound),
        (Failed("Bad Gateway", 502), TelegramServerError),
        (Failed("ConnectionRefusedError"), TelegramNetworkError),
    ],
)
async def test_a_refused_uncounted_call_raises_what_aiogram_would(
    caller: Caller, outcome: Outcome, error: type[Exception]
) -> None:
    caller.desk.transport.answers(outcome)

    with pytest.raises(error):
        await caller.bot.delete_message(7, 99)


async def test_an_uncounted_call_is_made_though_the_chat_takes_no_more_messages(caller: Caller) -> None:
    caller.desk.transport.answers(Rejected(403, "Forbidden: bot was blocked by the user", unreachable=True), DONE)
    with pytest.raises(TelegramForbiddenError):
        await caller.send()

    assert await caller.bot.delete_message(7, 99) is True
    with pytest.raises(TelegramForbiddenError):
        await caller.send()
    assert len(caller.desk.transport.leases) == 2


async def test_uncounted_calls_of_one_chat_are_under_way_together(caller: Caller) -> None:
    caller.desk.transport.close()

    calls = [asyncio.create_task(caller.bot.delete_message(7, number)) for number in range(3)]
    await until(lambda: len(caller.desk.transport.leases) == 3)
    caller.desk.transport.answers(*[DONE] * 3)
    caller.desk.transport.open()

    await asyncio.wait(calls)


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_only_a_delete_that_succeeded_drops_the_edits_that_wait(limited: Caller, *, is_deleted: bool) -> None:
    limited.desk.transport.answers(answered(), DONE if is_deleted else Rejected(400, "Bad Request: no rights"))
    await limited.send()
    edit = asyncio.create_task(limited.bot(EditMessageText(chat_id=7, message_id=1, text="a")))
    await until(lambda: len(limited.ids) == 2)

    with contextlib.suppress(TelegramBadRequest):
        await limited.bot.delete_messages(7, [1, 2])

    assert (limited.desk.ledger.statuses[limited.ids[1]] is Status.CANCELLED) == is_deleted
    edit.cancel()


async def test_a_delete_that_is_not_awaited_drops_the_edits_that_wait(limited: Caller) -> None:
    limited.desk.transport.answers(answered(), DONE)
    await limited.send()
    edit = asyncio.create_task(limited.bot(EditMessageText(chat_id=7, message_id=1, text="a")))
    await until(lambda: len(limited.ids) == 2)

    await limited.gateway.submit(limited.bot, DeleteMessage(chat_id=7, message_id=1), QUEUED["deleteMessage"])

    await until(lambda: limited.desk.ledger.statuses[limited.ids[1]] is Status.CANCELLED)
    edit.cancel()


async def test_a_delete_repeated_by_its_handler_is_made_once(caller: Caller) -> None:
    caller.desk.transport.answers(DONE)
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            assert await caller.bot.delete_message(7, 99) is True

    assert len(caller.desk.transport.leases) == 1


async def test_a_refused_delete_repeated_by_its_handler_raises_again(caller: Caller) -> None:
    caller.desk.transport.answers(Rejected(400, "Bad Request: message can't be deleted"))
    for _ in range(2):
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)), pytest.raises(TelegramBadRequest):
            await caller.bot.delete_message(7, 99)

    assert len(caller.desk.transport.leases) == 1


async def test_a_link_asked_for_again_by_its_handler_is_made_again_as_the_first_is_not_kept(caller: Caller) -> None:
    for number in range(2):
        caller.desk.transport.answers(Sent(None, msgspec.json.encode({"ok": True, "result": f"https://t.me/{number}"})))
        with update_context.of(UpdateContext(BOT_ID, 11, Priority.HIGH)):
            assert await caller.bot.export_chat_invite_link(-5) == f"https://t.me/{number}"


async def test_the_photo_of_a_chat_goes_through_the_engine_with_its_bytes(caller: Caller) -> None:
    photo = BufferedInputFile(b"pixels", "chat.jpg")
    caller.uploads.file_ids[BOT_ID, hashlib.sha256(b"pixels").hexdigest(), "photo"] = "sent-before"
    caller.desk.transport.answers(DONE)

    assert await caller.bot.set_chat_photo(-5, photo) is True

    (message_id,) = caller.ids
    (file,) = await caller.uploads.of_message(message_id, BOT_ID)
    assert (file.file_id, file.is_here) == (None, True)


# A bot that types


class Typing(DirectSession):
    """Telegram refuses the first action."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = True

    async def make_request(self, bot: Bot, method: Any, timeout: int | None = None) -> Any:  # noqa: ASYNC109
        if self.refuses and isinstance(method, SendChatAction):
            self.refuses = False
            self.called.append(method.__api_method__)
            raise TelegramRetryAfter(method, "Too Many Requests", retry_after=3)
        return await super().make_request(bot, method, timeout)


async def test_a_bot_that_is_asked_to_wait_shows_no_typing_meanwhile(caller: Caller) -> None:
    direct = Typing()
    bot = Bot(TOKEN, session=direct)
    with pytest.raises(TelegramRetryAfter):
        await bot.send_chat_action(7, "typing")

    assert await bot.send_chat_action(7, "typing") is True
    assert len(direct.called) == 1
    await bot.send_chat_action(8, "typing")
    caller.desk.clock.advance(3_000)
    await bot.send_chat_action(7, "typing")
    assert len(direct.called) == 3


async def test_a_bot_shows_no_typing_in_a_chat_whose_messages_are_held(caller: Caller) -> None:
    caller.desk.transport.answers(Throttled(5_000))
    direct = DirectSession()
    bot = Bot(TOKEN, session=direct)
    await caller.gateway.submit(bot, SendMessage(chat_id=7, text="a"), COUNTED["sendMessage"])
    await until(lambda: caller.desk.delivery.known_holds.is_held(BOT_ID, 7))

    assert await bot.send_chat_action(7, "typing") is True
    assert direct.called == []


# The end


async def test_at_the_end_a_call_that_waits_for_its_place_is_cancelled_and_its_message_stays_accepted(
    loop_clock: LoopClock,
) -> None:
    async with calling(wait_s=None) as caller:
        await caller.desk.broker.pause(BOT_ID, paused=True)
        sending = asyncio.create_task(caller.send())
        await turns()

        caller.gateway.end_waits()
        await loop_clock.advance(LAST_WAIT_S)

        assert sending.cancelled()
        assert list(caller.desk.ledger.statuses.values()) == [Status.QUEUED]


async def test_at_the_end_a_call_that_is_under_way_is_waited_for(loop_clock: LoopClock) -> None:
    async with calling(wait_s=None) as caller:
        caller.desk.transport.answers(answered(text="hello"))
        caller.desk.transport.close()
        sending = asyncio.create_task(caller.send())
        await soon(caller.desk.transport.arrived)

        caller.gateway.end_waits()
        await loop_clock.advance(20)
        assert not sending.done()
        caller.desk.transport.open()

        assert (await sending).message_id == 99


async def test_a_call_that_begins_while_the_end_does_goes_if_it_has_its_place(loop_clock: LoopClock) -> None:
    async with calling(wait_s=None) as caller:
        caller.desk.transport.answers(answered(text="hello"))
        caller.gateway.end_waits()

        assert (await caller.send()).message_id == 99
        await caller.desk.broker.pause(BOT_ID, paused=True)
        waiting = asyncio.create_task(caller.send())
        await turns()
        await loop_clock.advance(LAST_WAIT_S)
        assert waiting.cancelled()


async def test_after_the_end_a_call_is_refused_in_one_sentence_and_not_accepted(caller: Caller) -> None:
    caller.gateway.refuse_calls("it is over")

    with pytest.raises(RuntimeError, match="it is over"):
        await caller.send()
    with pytest.raises(RuntimeError, match="it is over"):
        await caller.gateway.submit(caller.bot, SendMessage(chat_id=7, text="a"), QUEUED["sendMessage"])
    with pytest.raises(RuntimeError, match="it is over"):
        await caller.gateway.submit_many(caller.bot, [SendMessage(chat_id=7, text="a")], CallOptions())
    with pytest.raises(RuntimeError, match="it is over"):
        await caller.bot.pin_chat_message(7, -1)

    assert not caller.desk.ledger.statuses
    assert await caller.bot.get_chat_member_count(7) is True
