"""Updates are stored before they are confirmed, and handled once, in the order of their key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.exceptions import ClientDecodeError, TelegramEntityTooLarge
from aiogram.fsm.context import FSMContext
from aiogram.methods import SendChatAction, SendMessage, TelegramMethod
from aiogram.types import CallbackQuery, Message, Update
from structlog.testing import capture_logs

from tempogram.api.core.ports import IntakeFull, Refusal
from tempogram.bot.telegram.methods import COUNTED, Rule
from tempogram.bot.updates.handler_pool import LAST_CALLS_S, HandlerPool
from tempogram.bot.updates.intake import TOO_DEEP, UpdateIntake, decode
from tempogram.bot.updates.normalize import normalize
from tempogram.bot.updates.order import Order
from tempogram.engine.model.errors import LedgerError, QueueFull, UnstorableValue
from tempogram.engine.model.messages import Outgoing, Priority
from tempogram.engine.resilience.conditions import OBSERVED_MS, Condition
from tempogram.storage.database.database import Database
from tempogram.storage.updates import Updates
from tests.bot.fakes import (
    BOT_ID,
    TOKEN,
    USERNAME,
    DirectSession,
    ListUpdates,
    OneBot,
)
from tests.bot.gateways import desk_gateway, under_every_bot
from tests.bot.updates.timers import HandTimers
from tests.engine.desk import Desk, soon, turns
from tests.fakes import START_MS

CHAT = -123
ANNA, BERT = 456, 457
Handler = Callable[..., Awaitable[Any]]


@dataclass
class RunningIntake:
    """An intake with one handler of the test, over a real engine."""

    handler: Handler
    updates: ListUpdates = field(default_factory=ListUpdates)
    desk: Desk = field(default_factory=Desk)
    pool: HandlerPool = field(default_factory=lambda: HandlerPool(size=4, waiting_max=100))
    fleet: OneBot = field(default_factory=OneBot)
    slept: list[float] = field(default_factory=list)
    order: Order = Order.USER
    wait_s: float = 0
    watched: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gateway = desk_gateway(self.desk, wait_s=self.wait_s)
        self.intake = self.new_intake(self.handler)

    def new_intake(self, handler: Handler) -> UpdateIntake:
        handlers = Dispatcher()
        handlers.message.register(handler)
        handlers.callback_query.register(handler)
        return UpdateIntake(
            updates=self.updates,  # type: ignore[arg-type]
            fleet=self.fleet,  # type: ignore[arg-type]
            dispatcher=handlers,
            gateway=self.gateway,
            pool=self.pool,
            clock=self.desk.clock,
            conditions=self.desk.conditions,
            order=self.order,
            sleep=self._sleep,
            watch=lambda update, bot_id: self.watched.append((bot_id, update.update_id)),
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def get(self, *updates: dict[str, Any]) -> None:
        """Receive updates, and let their handlers end."""
        await self.receive(*updates)
        await self.pool.drain()

    async def receive(self, *updates: dict[str, Any]) -> None:
        for each in updates:
            await self.intake.receive(BOT_ID, json.dumps(each).encode())

    @property
    def submitted(self) -> list[Outgoing]:
        return list(self.desk.ledger.messages.values())

    @property
    def texts(self) -> list[str]:
        return [json.loads(message.params)["text"] for message in self.submitted]


class AsksAndWaits:
    """A handler that awaits the press of a button, as a confirmation in many bots does."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[str] | None = None
        self.pressed: list[str] = []

    async def handle(self, event: Message | CallbackQuery) -> None:
        if isinstance(event, CallbackQuery):
            assert self.asked is not None
            self.asked.set_result(event.data or "")
        elif event.text == "order":
            self.asked = asyncio.get_running_loop().create_future()
            self.pressed.append(await self.asked)


def press(number: int, data: str) -> dict[str, Any]:
    message = {"message_id": 1, "date": 1, "chat": {"id": CHAT, "type": "group"}}
    anna = {"id": ANNA, "is_bot": False, "first_name": "Anna"}
    pressed = {"id": "1", "from": anna, "chat_instance": "x", "data": data, "message": message}
    return {"update_id": number, "callback_query": pressed}


def update(number: int = 1, text: str = "hello", *, chat_id: int = CHAT, **message: Any) -> dict[str, Any]:
    written = {"message_id": number, "chat": {"id": chat_id}, "from": {"id": ANNA}, "text": text}
    return {"update_id": number, "message": written | message}


def said_by(user_id: int) -> dict[str, Any]:
    return {"from": {"id": user_id}}


async def echo(message: Message) -> SendMessage:
    return message.answer(message.text or "")


# Storing


async def test_an_update_is_stored_before_it_is_handled() -> None:
    let_go, stored = asyncio.Event(), []

    async def wait(_: Message) -> None:
        stored.append(dict(inbox.updates.stored))
        await let_go.wait()

    inbox = RunningIntake(wait)
    await inbox.intake.receive(BOT_ID, json.dumps(update(1)).encode())
    ends_when_answered = dict(inbox.updates.ends)
    let_go.set()
    await inbox.pool.drain()

    assert ends_when_answered == {}
    assert list(stored[0]) == [(BOT_ID, 1)]
    assert inbox.updates.ends == {(BOT_ID, 1): "handled"}


async def test_a_message_of_a_handler_has_the_id_of_the_user_who_caused_it() -> None:
    inbox = RunningIntake(echo)

    await inbox.get(update(1))

    assert [message.user_id for message in inbox.submitted] == [456]


async def test_an_update_that_comes_twice_is_handled_once() -> None:
    inbox = RunningIntake(echo)

    await inbox.get(update(1, "hello"), update(1, "hello"), update(2, "again"))

    assert inbox.texts == ["hello", "again"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"update_id":7,"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
        b'{"update_id":7,"message":{"text":"\xff"}}',
        rb'{"message":{"text":"\ud83d"},"update_id":7}',
        rb'{"update_id":7,"message":{"text":"\ude00!"}}',
        b'{"update_id":7,"x":1e999}',
    ],
    ids=["nested", "no UTF-8", "high surrogate", "low surrogate", "no number"],
)
async def test_an_update_that_no_parser_takes_is_received_and_skipped_with_one_line(body: bytes) -> None:
    """Refused, it would be delivered for a day, and hold up what comes after it."""
    inbox = RunningIntake(echo)

    with capture_logs() as logs:
        await inbox.intake.receive(BOT_ID, body)

    assert inbox.updates.stored == {}
    assert [(each["event"], each["bot_id"], each["update_id"]) for each in logs] == [("update_skipped", BOT_ID, 7)]


@pytest.mark.parametrize(
    "body",
    [b"[" * 2_000 + b"]" * 2_000, b'{"message":{"text":"\xff"}}', b'{"update_id":7,"message":{"text":"}'],
    ids=["nested, without a number", "no UTF-8, without a number", "cut off"],
)
async def test_what_no_parser_takes_is_refused_if_it_has_no_number_or_may_come_whole_again(body: bytes) -> None:
    with pytest.raises(Refusal):
        await RunningIntake(echo).intake.receive(BOT_ID, body)


async def test_a_stored_update_that_cannot_be_read_any_more_stops_no_start() -> None:
    inbox = RunningIntake(echo)
    deep = b'{"update_id":7,"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}"
    await inbox.updates.receive(BOT_ID, 7, deep, now_ms=1)

    await inbox.intake.resume()
    await inbox.pool.drain()

    assert inbox.updates.ends == {(BOT_ID, 7): f"failed: {TOO_DEEP}"}


async def test_an_update_that_cannot_be_stored_is_neither_handled_nor_confirmed() -> None:
    inbox = RunningIntake(echo)
    inbox.updates.asleep = True

    with pytest.raises(LedgerError):
        await inbox.get(update(1))

    assert inbox.submitted == []


async def test_an_update_that_could_not_be_stored_is_observed_as_an_outage() -> None:
    inbox = RunningIntake(echo)
    inbox.updates.asleep = True

    with pytest.raises(LedgerError):
        await inbox.get(update())
    assert inbox.desk.conditions.current == [Condition.LEDGER_AWAY]

    inbox.desk.clock.advance(OBSERVED_MS)
    inbox.desk.conditions.lapse()
    assert inbox.desk.conditions.current == []


async def test_adoption_logs_an_outage_once_and_its_end_once() -> None:
    inbox = RunningIntake(echo)
    inbox.updates.asleep = True
    with capture_logs() as logs:
        looking = asyncio.create_task(inbox.intake.adopt())
        await turns()
        inbox.updates.asleep = False
        await turns()
        looking.cancel()

    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


async def test_an_update_is_refused_and_not_stored_while_too_many_wait() -> None:
    let_go = asyncio.Event()

    async def wait(_: Message) -> None:
        await let_go.wait()

    inbox = RunningIntake(wait, pool=HandlerPool(size=1, waiting_max=1))
    for number in (1, 2):
        await inbox.intake.receive(BOT_ID, json.dumps(update(number)).encode())
        await turns()

    with pytest.raises(IntakeFull):
        await inbox.intake.receive(BOT_ID, json.dumps(update(3)).encode())
    let_go.set()
    await inbox.pool.drain()

    assert list(inbox.updates.ends) == [(BOT_ID, 1), (BOT_ID, 2)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"update_id": "7"}',
        b'{"update_id": true}',
        b'{"update_id": -1}',
        b'{"update_id": 9223372036854775808}',
        b'{"update_id": 1.5}',
        b'{"a":' * 50_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_an_invalid_update_is_refused_in_one_sentence(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decode(body)

    assert "\n" not in str(refused.value)


# Handling


async def test_updates_of_one_user_are_handled_in_order_and_other_chats_do_not_wait() -> None:
    let_go, order = asyncio.Event(), []
    others_done = asyncio.Event()

    async def first_waits(message: Message) -> None:
        if message.text == "a1":
            await let_go.wait()
        order.append(message.text)
        if message.text == "b1":
            others_done.set()

    inbox = RunningIntake(first_waits)
    for number, (text, chat_id) in enumerate([("a1", -1), ("a2", -1), ("b1", -2)]):
        await inbox.intake.receive(BOT_ID, json.dumps(update(number, text, chat_id=chat_id)).encode())
    await soon(others_done)
    let_go.set()
    await inbox.pool.drain()

    assert order == ["b1", "a1", "a2"]


async def test_one_users_slow_handler_does_not_stop_its_group() -> None:
    let_go, answered, timers = asyncio.Event(), list[str | None](), HandTimers()

    async def slow_for_anna(message: Message) -> None:
        assert message.from_user is not None
        if message.from_user.id == ANNA:
            await let_go.wait()
        answered.append(message.text)

    inbox = RunningIntake(slow_for_anna, pool=HandlerPool(size=4, waiting_max=9, timers=timers))
    await inbox.receive(update(1, "of Anna"), update(2, "of Bert", **said_by(BERT)))
    await timers.advance(0.1)
    at_first = list(answered)
    let_go.set()
    await inbox.pool.drain()

    assert at_first == ["of Bert"]


async def test_strictly_by_chat_the_users_of_a_group_are_handled_one_after_another() -> None:
    begun, let_go, timers = list[str | None](), asyncio.Event(), HandTimers()

    async def wait(message: Message) -> None:
        begun.append(message.text)
        await let_go.wait()

    pool = HandlerPool(size=4, waiting_max=9, head_start_s=None, timers=timers)
    inbox = RunningIntake(wait, pool=pool, order=Order.CHAT)
    await inbox.receive(update(1, "of Anna"), update(2, "of Bert", **said_by(BERT)))
    await timers.advance(60)
    for_a_minute = list(begun)
    let_go.set()
    await timers.settle()

    assert for_a_minute == ["of Anna"]
    assert begun == ["of Anna", "of Bert"]


async def test_a_cancel_starts_a_second_after_a_slow_handler_of_15_s() -> None:
    timers, started = HandTimers(), dict[str | None, float]()

    async def command(message: Message) -> None:
        started[message.text] = timers.now_s
        if message.text == "/slow":
            ended = asyncio.Event()
            timers.call_later(15, ended.set)
            await ended.wait()

    inbox = RunningIntake(command, pool=HandlerPool(size=4, waiting_max=9, timers=timers))
    await inbox.receive(update(1, "/slow"), update(2, "/cancel"))
    await timers.advance(16)

    assert started["/cancel"] - started["/slow"] == pytest.approx(1.0)
    assert inbox.updates.ends == {(BOT_ID, 1): "handled", (BOT_ID, 2): "handled"}


async def test_a_handler_may_await_what_the_press_of_a_button_sets() -> None:
    """Its chat was dead for ever, also after a restart."""
    inbox = RunningIntake((answer_to := AsksAndWaits()).handle)

    await inbox.receive(update(1, "order"))
    await turns()
    await inbox.get(press(2, "yes"))

    assert answer_to.pressed == ["yes"]
    assert inbox.updates.ends == {(BOT_ID, 1): "handled", (BOT_ID, 2): "handled"}


async def test_a_handler_that_waits_for_a_press_waits_again_after_a_restart() -> None:
    timers = HandTimers()
    inbox = RunningIntake((answer_to := AsksAndWaits()).handle, pool=HandlerPool(size=4, waiting_max=9, timers=timers))
    await inbox.updates.receive(BOT_ID, 1, json.dumps(update(1, "order")).encode(), now_ms=START_MS)
    await inbox.updates.receive(BOT_ID, 2, json.dumps(update(2, "anyone there?")).encode(), now_ms=START_MS)

    assert await inbox.intake.resume() == 2
    await timers.advance(0.1)
    await inbox.receive(press(3, "yes"))
    await timers.advance(0.1)

    assert answer_to.pressed == ["yes"]
    assert set(inbox.updates.ends.values()) == {"handled"}


async def test_six_messages_at_once_to_one_form_end_in_the_order_in_which_they_came() -> None:
    forms: list[list[str]] = []

    async def fill_in(message: Message, state: FSMContext) -> None:
        answers = [*(await state.get_data()).get("answers", ()), message.text]
        await turns()  # others would come in between
        await state.set_data({"answers": answers})
        forms.append(answers)

    inbox = RunningIntake(fill_in)
    await inbox.get(*(update(number, f"answer {number}") for number in range(1, 7)))

    assert forms[-1] == [f"answer {number}" for number in range(1, 7)]


async def test_a_handler_that_runs_for_too_long_is_named_in_one_line_and_its_update_is_failed() -> None:
    timers = HandTimers()

    async def endless(_: Message) -> None:
        await asyncio.Event().wait()

    inbox = RunningIntake(endless, pool=HandlerPool(size=4, waiting_max=9, timeout_s=30, timers=timers))
    with capture_logs() as logs:
        await inbox.receive(update(1))
        await timers.advance(30)
        await inbox.pool.drain()

    (line,) = logs
    assert line == {
        "event": "handler_timed_out",
        "log_level": "error",
        "bot_id": BOT_ID,
        "update_id": 1,
        "handler": f"{__name__}.{endless.__qualname__}",
        "timeout_s": 30,
    }
    assert inbox.updates.ends == {(BOT_ID, 1): f"failed: its handler {line['handler']} ran longer than 30 s"}


async def test_a_stop_ends_a_handler_that_waits_for_a_full_group_and_a_second_run_submits_nothing_twice() -> None:
    timers = HandTimers()

    async def say(message: Message) -> None:
        await message.answer("to a full group")

    pool = HandlerPool(size=4, waiting_max=9, timers=timers)
    inbox = RunningIntake(say, pool=pool, wait_s=3_600)
    with under_every_bot(inbox.gateway):
        await inbox.receive(update(1))
        while not inbox.submitted:
            await timers.settle()
        stopping = asyncio.create_task(pool.stop())
        await timers.advance(LAST_CALLS_S)
        await stopping
        ends_at_the_stop = dict(inbox.updates.ends)
    again = RunningIntake(say, updates=inbox.updates, desk=inbox.desk)
    with under_every_bot(again.gateway):
        assert await again.intake.resume() == 1
        await again.pool.drain()

    assert ends_at_the_stop == {}
    assert inbox.texts == ["to a full group"]
    assert inbox.updates.ends == {(BOT_ID, 1): "handled"}


async def test_the_next_update_of_a_user_waits_while_the_ledger_is_away() -> None:
    timers, back, slept = HandTimers(), asyncio.Event(), asyncio.Event()

    async def say(message: Message) -> SendMessage:
        return message.answer(message.text or "")

    async def sleep(_: float) -> None:
        slept.set()
        await back.wait()

    inbox = RunningIntake(say, pool=HandlerPool(size=4, waiting_max=9, timers=timers))
    inbox.intake._sleep = sleep
    inbox.desk.ledger.refused_words = ["add"] * 2
    await inbox.receive(update(1, "first"), update(2, "second"))
    while not slept.is_set():
        await timers.settle()
    await timers.advance(60)
    while_away = inbox.texts
    back.set()
    await timers.advance(1)

    assert while_away == []
    assert inbox.texts == ["first", "second"]


async def test_an_update_whose_handler_raises_is_marked_failed_and_the_next_one_is_handled() -> None:
    async def fail_once(message: Message) -> SendMessage:
        if message.text == "bad":
            raise ZeroDivisionError
        return message.answer("fine")

    inbox = RunningIntake(fail_once)

    with capture_logs() as logs:
        await inbox.get(update(1, "bad"), update(2, "good"))

    assert inbox.updates.ends == {(BOT_ID, 1): "failed: ZeroDivisionError", (BOT_ID, 2): "handled"}
    assert inbox.texts == ["fine"]
    assert [(each["event"], each["reason"]) for each in logs] == [("handler_failed", "ZeroDivisionError")]


async def test_a_handler_that_awaited_a_cancelled_task_does_not_stop_its_chat() -> None:
    """It ended the chat's task, and no later update of that chat was handled."""

    async def await_cancelled(message: Message) -> SendMessage:
        if message.text == "bad":
            cancelled = asyncio.create_task(asyncio.sleep(0))
            cancelled.cancel()
            await cancelled
        return message.answer("fine")

    inbox = RunningIntake(await_cancelled)

    await inbox.get(update(1, "bad"), update(2, "good"))
    await inbox.get(update(3, "good"))

    assert inbox.updates.ends[BOT_ID, 1] == "failed: CancelledError"
    assert inbox.texts == ["fine", "fine"]


@pytest.mark.parametrize(
    "broken",
    [{"update_id": 1, "message": {"chat": {"id": 5}}}, {"update_id": 1, "message": update()["message"] | {"text": 7}}],
)
async def test_an_update_with_wrong_types_is_marked_failed_with_the_field(broken: dict[str, Any]) -> None:
    inbox = RunningIntake(echo)

    await inbox.get(broken)

    assert inbox.updates.ends[BOT_ID, 1].startswith("failed: aiogram cannot read it: message.")


async def test_an_update_is_handled_again_until_the_ledger_is_back() -> None:
    inbox = RunningIntake(echo)
    inbox.desk.ledger.refused_words = ["add"] * 4

    await inbox.get(update(1, "hello"), update(2, "world"))

    assert inbox.slept == [1.0, 1.0]
    assert inbox.texts == ["hello", "world"]
    assert inbox.updates.ends == {(BOT_ID, 1): "handled", (BOT_ID, 2): "handled"}


async def test_an_update_whose_write_lost_its_answer_is_handled_when_it_comes_again() -> None:
    inbox = RunningIntake(echo)
    inbox.updates.loses_answer = True
    with pytest.raises(LedgerError):
        await inbox.get(update(1, "hello"))

    inbox.updates.loses_answer = False
    await inbox.get(update(1, "hello"), update(1, "hello"))

    assert inbox.texts == ["hello"]


async def test_an_update_of_which_the_database_takes_no_value_fails_once_and_the_next_is_handled() -> None:
    """It was handled again every second, as if the database were away, and those behind it waited for ever."""

    async def remember(message: Message) -> SendMessage:
        handled.append(message.text)
        if message.text == "huge":
            raise UnstorableValue("the database takes no such value: a number is beyond its range")
        return message.answer("done")

    handled: list[str | None] = []
    inbox = RunningIntake(remember)
    with capture_logs() as logs:
        await inbox.get(update(1, "huge"), update(2, "small"))

    assert (handled, inbox.slept, inbox.texts) == (["huge", "small"], [], ["done"])
    assert inbox.updates.ends == {
        (BOT_ID, 1): "failed: the database takes no such value: a number is beyond its range",
        (BOT_ID, 2): "handled",
    }
    assert [(each["event"], each["update_id"], "exc_info" in each) for each in logs] == [("handler_failed", 1, False)]
    assert inbox.desk.conditions.current == []


async def test_a_received_update_is_handled_at_the_next_start() -> None:
    inbox = RunningIntake(echo)
    await inbox.updates.receive(BOT_ID, 1, json.dumps(update(1, "hello")).encode(), now_ms=inbox.desk.clock())

    resumed = await inbox.new_intake(echo).resume()
    await inbox.pool.drain()

    assert resumed == 1
    assert inbox.texts == ["hello"]
    assert inbox.updates.ends == {(BOT_ID, 1): "handled"}


async def test_a_second_run_after_a_crash_submits_nothing_twice() -> None:
    async def answer_twice(message: Message) -> SendMessage:
        await inbox.gateway.submit(inbox.fleet.bot(BOT_ID), message.answer("one"), COUNTED["sendMessage"])
        if not crashed:
            crashed.append(True)
            raise LedgerError("the process died here")
        return message.answer("two")

    crashed: list[bool] = []
    inbox = RunningIntake(answer_twice)
    await inbox.get(update(1))

    await inbox.new_intake(answer_twice).resume()
    await inbox.pool.drain()

    assert inbox.texts == ["one", "two"]
    assert [message.dedup_key for message in inbox.submitted] == [
        f"update:{BOT_ID}:1:sendMessage:{CHAT}:1",
        f"update:{BOT_ID}:1:sendMessage:{CHAT}:2",
    ]


async def test_the_sql_inbox_handles_every_update_once(database: Database) -> None:
    inbox = RunningIntake(echo)
    inbox.updates = Updates(database, process=1)  # type: ignore[assignment]
    inbox.intake = inbox.new_intake(echo)

    await inbox.get(update(1, "hello"), update(1, "hello"))
    resumed = await inbox.new_intake(echo).resume()

    assert inbox.texts == ["hello"]
    assert resumed == 0


# What a handler returns


async def test_a_handler_may_return_a_list_of_methods() -> None:
    async def several(message: Message) -> list[SendMessage]:
        return [message.answer("one"), message.answer("two")]

    inbox = RunningIntake(several)
    await inbox.get(update(1))

    assert inbox.texts == ["one", "two"]


@pytest.mark.parametrize("returned", [None, "a text", 7, True, {"text": "a"}, [None, "a"]], ids=repr)
async def test_a_returned_value_that_is_no_method_is_not_sent(returned: object) -> None:
    async def return_it(_: Message) -> object:
        return returned

    inbox = RunningIntake(return_it)
    await inbox.get(update(1))

    assert inbox.submitted == []
    assert inbox.updates.ends == {(BOT_ID, 1): "handled"}


async def test_a_returned_method_that_does_not_count_is_called_directly() -> None:
    async def type_something(message: Message) -> SendChatAction:
        return SendChatAction(chat_id=message.chat.id, action="typing")

    inbox = RunningIntake(type_something)
    await inbox.get(update(1))

    assert inbox.fleet.direct.called == ["sendChatAction"]
    assert inbox.submitted == []


@pytest.mark.parametrize(
    "error",
    [
        ClientDecodeError("no JSON", ValueError("no JSON"), "<html>"),
        TelegramEntityTooLarge(SendMessage(chat_id=CHAT, text="one"), "a file is too large"),
        QueueFull(BOT_ID, CHAT, 1),
        Refusal("the bot was removed"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("is_queued", [True, False], ids=["queued", "direct"])
async def test_a_returned_call_that_is_refused_loses_none_after_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, is_queued: bool
) -> None:
    async def several(message: Message) -> list[TelegramMethod[Any]]:
        first = message.answer("one") if is_queued else SendChatAction(chat_id=CHAT, action="typing")
        return [first, message.answer("two")]

    inbox = RunningIntake(several)
    submit = inbox.gateway.submit

    async def refuse_one(bot: Bot, method: Any, rule: Rule) -> None:
        if method.text == "one":
            raise error
        await submit(bot, method, rule)

    async def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(inbox.gateway, "submit", refuse_one)
    monkeypatch.setattr(Bot, "__call__", refuse)
    await inbox.get(update(1))

    assert inbox.texts == ["two"]
    assert inbox.updates.ends == {(BOT_ID, 1): f"failed: {type(error).__name__}"}


async def test_an_update_without_a_matching_handler_is_marked_handled() -> None:
    inbox = RunningIntake(echo)

    await inbox.get({"update_id": 1, "poll_answer": {"poll_id": "p", "option_ids": [0], "user": None}})

    assert inbox.submitted == []
    assert len(inbox.updates.ends) == 1


# How urgent it is

MENTION: dict[str, Any] = {"text": f"hey @{USERNAME}", "entities": [{"type": "mention", "offset": 4, "length": 8}]}
ANOTHER: dict[str, Any] = {"text": "hey @another", "entities": [{"type": "mention", "offset": 4, "length": 8}]}
COMMAND: dict[str, Any] = {
    "text": f"/start@{USERNAME}",
    "entities": [{"type": "bot_command", "offset": 0, "length": 14}],
}
AFTER_EMOJI: dict[str, Any] = {
    "text": f"😀 @{USERNAME.upper()}",
    "entities": [{"type": "mention", "offset": 3, "length": 8}],
}
TEXT_MENTION: dict[str, Any] = {
    "text": "hey you",
    "entities": [
        {
            "type": "text_mention",
            "offset": 4,
            "length": 3,
            "user": {"id": BOT_ID, "is_bot": True, "first_name": "The bot"},
        }
    ],
}


def reply_to(user_id: int) -> dict[str, Any]:
    user = {"id": user_id, "is_bot": True, "first_name": "x"}
    chat = {"id": CHAT, "type": "group"}
    return {"text": "yes", "reply_to_message": {"message_id": 1, "date": 1, "chat": chat, "from": user}}


URGENCY = [
    (MENTION, Priority.HIGH),
    (AFTER_EMOJI, Priority.HIGH),
    (TEXT_MENTION, Priority.HIGH),
    (COMMAND, Priority.HIGH),
    (reply_to(BOT_ID), Priority.HIGH),
    (reply_to(99), Priority.NORMAL),
    (ANOTHER, Priority.NORMAL),
    ({"text": f"@{USERNAME}, but not marked as a mention"}, Priority.NORMAL),
    ({"text": "hello"}, Priority.NORMAL),
]


@pytest.mark.parametrize(("message", "priority"), URGENCY, ids=lambda value: str(value)[:30])
async def test_the_answer_to_a_mention_or_a_reply_is_urgent(message: dict[str, Any], priority: Priority) -> None:
    inbox = RunningIntake(echo)

    await inbox.get(update(1, **message))

    assert [each.priority for each in inbox.submitted] == [priority]


@pytest.mark.usefixtures("its_session")
async def test_messages_of_a_handlers_own_tasks_and_threads_are_urgent_too(house_of_tasks: RunningIntake) -> None:
    await house_of_tasks.get(update(1, **MENTION))

    assert sorted(house_of_tasks.texts) == ["from a task", "from a thread", "from the handler"]
    assert {each.priority for each in house_of_tasks.submitted} == {Priority.HIGH}
    assert len({each.dedup_key for each in house_of_tasks.submitted}) == 3


@pytest.fixture
def house_of_tasks() -> RunningIntake:
    async def spawn(message: Message) -> None:
        loop = asyncio.get_running_loop()
        bot = Bot(TOKEN, session=DirectSession())

        def in_thread() -> None:
            sending = asyncio.run_coroutine_threadsafe(bot.send_message(CHAT, "from a thread"), loop)
            sending.result(5)

        await bot.send_message(CHAT, "from the handler")
        await asyncio.create_task(message.answer("from a task").emit(bot))
        await asyncio.to_thread(in_thread)

    return RunningIntake(spawn)


@pytest.fixture
def its_session(house_of_tasks: RunningIntake) -> Iterator[None]:
    with under_every_bot(house_of_tasks.gateway):
        yield


def test_a_hand_written_update_is_understood() -> None:
    """The mission's own: no date, no chat type, no name."""
    understood = Update.model_validate(normalize(update(1, "Test 1"), START_MS // 1_000))

    assert understood.message is not None
    assert (understood.message.chat.type, understood.message.text) == ("group", "Test 1")
    assert understood.message.from_user is not None
    assert not understood.message.from_user.is_bot


async def test_an_update_of_a_bot_unknown_here_is_handled_after_a_reload() -> None:
    handled: list[str] = []

    async def handler(message: Message) -> None:
        handled.append(message.text or "")

    inbox = RunningIntake(handler)
    await inbox.updates.receive(BOT_ID, 1, json.dumps(REMOVED).encode(), now_ms=START_MS)
    inbox.fleet.unheard.add(BOT_ID)

    await inbox.intake.resume()
    await inbox.pool.drain()

    assert handled == ["hello"]


async def test_an_update_of_a_removed_bot_is_marked_failed_with_a_reason() -> None:
    handled: list[str] = []

    async def handler(message: Message) -> None:
        handled.append(message.text or "")

    inbox = RunningIntake(handler)
    await inbox.updates.receive(BOT_ID, 1, json.dumps(REMOVED).encode(), now_ms=START_MS)
    inbox.fleet.removed.add(BOT_ID)

    await inbox.intake.resume()
    await inbox.pool.drain()

    assert handled == []
    assert inbox.updates.ends == {(BOT_ID, 1): "failed: its bot was removed"}


async def test_an_update_of_a_bot_whose_token_cannot_be_read_is_left_for_a_later_start() -> None:
    inbox = RunningIntake(echo)
    await inbox.updates.receive(BOT_ID, 1, json.dumps(REMOVED).encode(), now_ms=START_MS)
    inbox.fleet.unreadable.add(BOT_ID)

    await inbox.intake.resume()
    await inbox.pool.drain()

    assert inbox.updates.ends == {}


REMOVED = {"update_id": 1, "message": {"message_id": 1, "chat": {"id": CHAT}, "from": {"id": 4}, "text": "hello"}}


async def test_a_view_is_notified_of_each_update_whose_handler_begins() -> None:
    running = RunningIntake(echo)

    await running.get(update(1), update(1), update(2))

    assert running.watched == [(BOT_ID, 1), (BOT_ID, 2)]
