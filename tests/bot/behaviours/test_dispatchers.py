"""Each behaviour has a Dispatcher of its own, fed only with the updates of bots that have it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.filters import Command
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import ErrorEvent, Message, TelegramObject, Update

from tempogram.bot.behaviours.behaviour import Behaviour
from tempogram.bot.behaviours.dispatchers import Dispatchers, dispatcher_for, dispatchers_of
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tests.bot.fakes import FewBots
from tests.bot.talk import behaviour, talk
from tests.bot.talk import update as delivered
from tests.fakes import Clock

SHOP, DESK = 901, 902


def heard(text: str) -> Update:
    return Update.model_validate(delivered(text))


def saying(text: str, *filters: Any) -> Router:
    """Return a router that answers what passes its filters."""
    router = Router()

    @router.message(*filters)
    async def answer(message: Message) -> object:
        return message.answer(text)

    return router


class Fed:
    """Behaviours, and bots that have them."""

    def __init__(self, bots: FewBots, dispatchers: Dispatchers) -> None:
        self.bots = bots
        self.dispatchers = dispatchers

    async def answer(self, bot_id: int, text: str) -> Any:
        """Return what a bot answers; None: nothing."""
        bot, registered = self.bots.bot(bot_id), self.bots.registered(bot_id)
        returned = await self.dispatchers.feed_update(bot, heard(text), registered=registered)
        return None if returned is UNHANDLED else getattr(returned, "text", returned)


async def fed(*own: Behaviour) -> Fed:
    bots = FewBots()
    return Fed(bots, await dispatchers_of(Behaviours(own).all, bots))


async def test_one_customers_shop_does_not_answer_another_customers_users() -> None:
    world = await fed(behaviour(saying("pizza"), name="shop"), behaviour(saying("news"), name="desk"))
    world.bots.put(SHOP, shop={})
    world.bots.put(DESK, desk={})

    assert [await world.answer(SHOP, "hi"), await world.answer(DESK, "hi")] == ["pizza", "news"]


async def test_the_settings_of_its_bot_reach_a_handler_as_config() -> None:
    router = Router()

    @router.message()
    async def price(message: Message, config: dict[str, Any]) -> object:
        return message.answer(f"7 {config['currency']}")

    world = await fed(behaviour(router, name="shop"))
    world.bots.put(SHOP, shop={"currency": "EUR"})
    world.bots.put(DESK, shop={"currency": "CHF"})

    assert [await world.answer(SHOP, "price"), await world.answer(DESK, "price")] == ["7 EUR", "7 CHF"]


async def test_the_config_that_setup_put_into_the_dispatcher_stays() -> None:
    router = Router()

    @router.message()
    async def price(message: Message, config: str) -> object:
        return message.answer(config)

    def setup(dispatcher: Dispatcher) -> None:
        dispatcher["config"] = "its own"

    world = await fed(behaviour(router, name="shop", setup=setup))
    world.bots.put(SHOP, shop={"currency": "EUR"})

    assert await world.answer(SHOP, "price") == "its own"


async def test_behaviours_are_asked_in_order_and_the_first_that_handles_an_update_ends_it() -> None:
    first, second = saying("first", F.text == "one"), saying("second", F.text.in_({"one", "two"}))
    world = await fed(behaviour(first, name="first"), behaviour(second, name="second"))
    world.bots.put(SHOP, echo={}, second={}, first={}, commands={"start": "Hello!"})

    answers = [await world.answer(SHOP, text) for text in ("one", "two", "three", "/start")]

    assert answers == ["first", "second", "three", "Hello!"]


async def test_a_handler_that_answers_nothing_ends_the_update_too() -> None:
    router = Router()

    @router.message()
    async def note(_: Message) -> None: ...

    world = await fed(behaviour(router, name="notes"))
    world.bots.put(SHOP, notes={}, echo={})

    assert await world.answer(SHOP, "hello") is None


async def test_a_middleware_that_drops_an_update_ends_it() -> None:
    async def drop(*_: Any) -> None: ...

    def setup(dispatcher: Dispatcher) -> None:
        dispatcher.message.outer_middleware(drop)

    world = await fed(behaviour(saying("never"), name="shop", setup=setup))
    world.bots.put(SHOP, shop={}, echo={})

    assert await world.answer(SHOP, "hello") is None


class Seen(BaseMiddleware):
    """Notes the arguments that aiogram gives a middleware."""

    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        self.data.append(data)
        return await handler(event, data)


async def test_handlers_get_what_aiogram_gives_them_while_polling() -> None:
    seen = Seen()

    async def setup(dispatcher: Dispatcher) -> None:
        dispatcher["prices"] = [7]
        dispatcher.update.outer_middleware(seen)

    world = await fed(behaviour(saying("yes"), name="shop", setup=setup))
    bot, other = world.bots.put(SHOP, shop={}), world.bots.put(DESK, shop={})
    world.bots.put(903, echo={})

    await world.answer(SHOP, "hello")

    (data,) = seen.data
    assert (data["bot"], data["bots"], data["prices"]) == (bot, (bot, other), [7])
    assert (data["event_from_user"].first_name, data["event_chat"].id) == ("Anna", 7)
    assert isinstance(data["dispatcher"], Dispatcher)
    assert {"state", "raw_state", "fsm_storage", "event_context", "registered"} <= data.keys()


async def test_a_middleware_of_one_module_sees_no_update_of_another_modules_bots() -> None:
    seen = Seen()

    def setup(dispatcher: Dispatcher) -> None:
        dispatcher.update.outer_middleware(seen)

    world = await fed(behaviour(saying("a"), name="shop", setup=setup), behaviour(saying("b"), name="desk"))
    world.bots.put(SHOP, shop={})
    world.bots.put(DESK, desk={})

    assert await world.answer(DESK, "hello") == "b"
    assert seen.data == []


async def test_a_module_sees_no_kind_of_update_that_it_has_no_handler_for() -> None:
    """Under plain aiogram Telegram would not be asked for it."""
    seen = Seen()

    def setup(dispatcher: Dispatcher) -> None:
        dispatcher.update.outer_middleware(seen)

    router = Router()

    @router.callback_query()
    async def press(_: TelegramObject) -> None: ...

    world = await fed(behaviour(router, name="shop", setup=setup))
    world.bots.put(SHOP, shop={}, echo={})

    assert await world.answer(SHOP, "hello") == "hello"
    assert seen.data == []


def failing() -> Router:
    router = Router()

    @router.message()
    async def fail(_: Message) -> None:
        raise ZeroDivisionError

    return router


async def test_the_error_handler_of_a_module_sees_the_errors_of_that_module_only() -> None:
    seen: list[str] = []

    def setup_with(name: str) -> Callable[[Dispatcher], None]:
        def setup(dispatcher: Dispatcher) -> None:
            @dispatcher.errors()
            async def note(event: ErrorEvent) -> None:
                seen.append(f"{name}: {type(event.exception).__name__}")

        return setup

    world = await fed(
        behaviour(failing(), name="shop", setup=setup_with("shop")),
        behaviour(saying("news"), name="desk", setup=setup_with("desk")),
    )
    world.bots.put(SHOP, shop={}, desk={})

    assert await world.answer(SHOP, "hello") is None
    assert seen == ["shop: ZeroDivisionError"]


async def test_an_error_without_a_handler_ends_the_update_and_is_raised() -> None:
    world = await fed(behaviour(failing(), name="shop"))
    world.bots.put(SHOP, shop={}, echo={})

    with pytest.raises(ZeroDivisionError):
        await world.answer(SHOP, "hello")


async def test_an_update_whose_handler_raises_is_marked_as_failed(database: Database, clock: Clock) -> None:
    async with talk(database, clock, failing(), settings={"echo": {}}) as talking:
        await talking.hears(delivered("hello"))

    assert talking.said == []
    assert await talking.updates.adopt(limit=5) == []


async def test_a_module_chooses_its_storage_in_setup() -> None:
    storage, ours = MemoryStorage(), MemoryStorage()

    def setup(dispatcher: Dispatcher) -> None:
        dispatcher.fsm.storage = storage

    chosen = await dispatcher_for(behaviour(Router(), setup=setup), storage=ours)
    usual = await dispatcher_for(behaviour(Router()), storage=ours)

    assert (chosen.storage, usual.storage) == (storage, ours)


async def test_a_setup_that_includes_the_modules_router_itself_includes_it_once() -> None:
    router = saying("once")

    def setup(dispatcher: Dispatcher) -> None:
        dispatcher.include_router(router)

    world = await fed(behaviour(router, name="shop", setup=setup))
    world.bots.put(SHOP, shop={})

    assert await world.answer(SHOP, "hello") == "once"


async def test_a_setup_that_fails_ends_the_start_with_one_sentence() -> None:
    def setup(dispatcher: Dispatcher) -> None:
        dispatcher["no such thing"]

    with pytest.raises(SettingsError, match=r"BEHAVIOURS: setup\(\) of shop failed: KeyError: 'no such thing' \(.*py"):
        await fed(behaviour(Router(), name="shop", setup=setup))


async def test_telegram_is_asked_for_the_kinds_that_a_bots_own_behaviours_handle() -> None:
    reacting = Router()

    @reacting.message_reaction()
    async def react(_: TelegramObject) -> None: ...

    world = await fed(behaviour(reacting, name="reactions"), behaviour(saying("a", Command("a")), name="shop"))

    assert world.dispatchers.kinds_of({"shop", "reactions"}) == {"message", "message_reaction"}
    assert world.dispatchers.kinds_of({"shop"}) == {"message"}
    assert world.dispatchers.kinds_of({}) == set()


async def test_a_kind_that_is_newer_than_aiogram_is_answered_by_no_behaviour() -> None:
    world = await fed(behaviour(saying("a"), name="shop"))
    bot: Bot = world.bots.put(SHOP, shop={})
    unknown = Update.model_validate(json.loads('{"update_id": 1, "dream": {}}'))

    returned = await world.dispatchers.feed_update(bot, unknown, registered=world.bots.registered(SHOP))

    assert returned is UNHANDLED
