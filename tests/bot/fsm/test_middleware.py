"""An update's state is read if anything could ask for it, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.filters import Command, Filter, StateFilter, or_f
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import ErrorEvent, Message, Update

from tempogram.bot.fsm.dispatcher import new_dispatcher
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.talk import update

KEY = StorageKey(bot_id=BOT_ID, chat_id=7, user_id=5)


class Form(StatesGroup):
    name = State()


class CountingStorage(MemoryStorage):
    """aiogram's own storage, which counts how often a state is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.closed = False

    async def get_state(self, key: StorageKey) -> str | None:
        self.reads += 1
        return await super().get_state(key)

    async def close(self) -> None:
        self.closed = True


class PassesOn(BaseMiddleware):
    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        return await handler(event, data)


async def answer(message: Message) -> None: ...


async def answer_by_state(message: Message, raw_state: str | None) -> None: ...


async def answer_with_all(message: Message, **data: Any) -> None: ...


async def is_named(message: Message, raw_state: str | None = None) -> bool:
    return raw_state == "named"


class TakesAll(Filter):
    async def __call__(self, message: Message, **data: Any) -> bool:
        return False


async def feed(dispatcher: Dispatcher, text: str = "hello") -> Any:
    bot = Bot(TOKEN)
    return await dispatcher.feed_update(bot, Update.model_validate(update(text), context={"bot": bot}))


async def reads_for(register: Callable[[Router], object]) -> int:
    storage, router = CountingStorage(), Router()
    register(router)
    dispatcher = new_dispatcher(storage)
    dispatcher.include_router(router)
    await feed(dispatcher)
    return storage.reads


@pytest.mark.parametrize(
    "register",
    [
        lambda router: router.message.register(answer),
        lambda router: router.message.register(answer, F.text, Command("start")),
        lambda router: router.message.filter(F.chat.type == "private"),
        lambda router: router.callback_query.register(answer, Form.name),
        lambda router: router.include_router(Router()),
    ],
    ids=["a handler", "filters of other things", "a filter of all handlers", "states of another kind", "no handler"],
)
async def test_an_update_that_meets_nothing_that_takes_its_state_costs_no_read(
    register: Callable[[Router], object],
) -> None:
    assert await reads_for(register) == 0


def inside(router: Router) -> None:
    inner = Router()
    inner.message.register(answer, Form.name)
    router.include_router(inner)


@pytest.mark.parametrize(
    "register",
    [
        lambda router: router.message.register(answer, Form.name),
        lambda router: router.message.register(answer, StateFilter(Form)),
        lambda router: router.message.register(answer, or_f(StateFilter(Form), F.text)),
        lambda router: router.message.register(answer, ~StateFilter(Form)),
        lambda router: router.message.register(answer, Form()),
        lambda router: router.message.register(answer, is_named),
        lambda router: router.message.register(answer, TakesAll()),
        lambda router: router.message.filter(StateFilter(None)),
        lambda router: router.message.register(answer_by_state),
        lambda router: router.message.register(answer_with_all),
        lambda router: router.message.middleware(PassesOn()),
        lambda router: router.message.outer_middleware(PassesOn()),
        lambda router: router.error.register(answer_by_state),
        inside,
    ],
    ids=[
        "a state",
        "a filter of a group",
        "one of two filters",
        "an inverted filter",
        "a group",
        "a function that takes it",
        "an object that takes everything",
        "a filter of all handlers",
        "a handler that takes it",
        "a handler that takes everything",
        "an inner middleware",
        "an outer middleware",
        "an error handler",
        "a router inside",
    ],
)
async def test_an_update_that_something_may_look_at_the_state_of_costs_one_read(
    register: Callable[[Router], object],
) -> None:
    assert await reads_for(register) == 1


async def test_a_middleware_of_updates_sees_the_state() -> None:
    dispatcher, seen = new_dispatcher(MemoryStorage()), []

    @dispatcher.update.outer_middleware
    async def note(handler: Any, event: Any, data: dict[str, Any]) -> Any:
        seen.append(data["raw_state"])
        return await handler(event, data)

    await dispatcher.storage.set_state(KEY, "named")
    await feed(dispatcher)

    assert seen == ["named"]


async def test_a_handler_without_a_filter_of_states_reads_and_writes_by_its_context() -> None:
    storage, seen = CountingStorage(), []
    dispatcher = new_dispatcher(storage)

    @dispatcher.message()
    async def count(message: Message, state: FSMContext) -> None:
        seen.append(await state.get_state())
        await state.set_state(Form.name)

    await feed(dispatcher)
    await feed(dispatcher)

    assert (seen, storage.reads) == ([None, "Form:name"], 2)


async def test_an_error_handler_gets_the_state_of_its_user_without_a_read() -> None:
    storage, seen = CountingStorage(), []
    dispatcher = new_dispatcher(storage)

    @dispatcher.message()
    async def fail(message: Message) -> None:
        raise ZeroDivisionError

    @dispatcher.errors()
    async def note(event: ErrorEvent, state: FSMContext) -> None:
        seen.append((type(event.exception), state.key))

    await feed(dispatcher)

    assert (seen, storage.reads) == ([(ZeroDivisionError, KEY)], 0)


async def test_a_handler_that_is_added_later_finds_the_state() -> None:
    dispatcher, seen = new_dispatcher(MemoryStorage()), []
    await dispatcher.storage.set_state(KEY, Form.name)
    await feed(dispatcher)

    @dispatcher.message(Form.name)
    async def note(message: Message) -> None:
        seen.append(message.text)

    await feed(dispatcher, "Ann")

    assert seen == ["Ann"]


async def test_another_storage_may_be_set_and_is_closed_at_the_end() -> None:
    dispatcher, other = new_dispatcher(MemoryStorage()), CountingStorage()
    dispatcher.fsm.storage = other
    dispatcher.message.register(answer, Form.name)

    await feed(dispatcher)
    await dispatcher.emit_shutdown()

    assert (dispatcher.storage, other.reads, other.closed) == (other, 1, True)
