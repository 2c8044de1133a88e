"""When the hooks of a module run: at the start, at the end, and for bots that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, Router
from aiogram.types import Message, Update
from structlog.testing import capture_logs

from tempogram import once_for_fleet
from tempogram.bot.behaviours import hooks
from tempogram.bot.behaviours.behaviour import Behaviour
from tempogram.bot.behaviours.dispatchers import Dispatchers, dispatchers_of
from tests.bot.fakes import FewBots
from tests.bot.talk import behaviour, update
from tests.engine.desk import turns


class Shop:
    """A module that notes which of its hooks ran; one may fail, and one hang until it may ``go_on``."""

    def __init__(self, bots: FewBots, *, failing: str = "never", hanging: str = "never") -> None:
        self.bots = bots
        self.failing = failing
        self.hanging = hanging
        self.go_on = asyncio.Event()
        self.ran: list[str] = []
        self.router = Router()
        self.router.startup.register(self.begin_in_router)
        self.router.message.register(self.answer)

    def setup(self, dispatcher: Dispatcher) -> None:
        dispatcher["stock"] = "full"
        dispatcher.startup.register(self.begin)
        dispatcher.shutdown.register(self.end)

    async def begin(self, bot: Bot, bots: tuple[Bot, ...], dispatcher: Dispatcher, stock: str) -> None:
        assert dispatcher["stock"] == stock
        await self.note(f"startup {bot.id} of {[each.id for each in bots]}")

    async def begin_in_router(self) -> None:
        await self.note("startup of the router")

    async def end(self, bots: tuple[Bot, ...]) -> None:
        await self.note(f"shutdown {[each.id for each in bots]}")

    async def added(self, bot: Bot, stock: str) -> None:
        await self.note(f"added {bot.id} {stock}")

    async def removed(self, bot_id: int) -> None:
        await self.note(f"removed {bot_id}")

    async def answer(self, _: Message) -> str:
        return "handled"

    async def note(self, what: str) -> None:
        self.ran.append(what)
        if what.startswith(self.hanging):
            await self.go_on.wait()
        if what.startswith(self.failing):
            raise ZeroDivisionError

    def behaviour(self, name: str) -> Behaviour:
        functions: dict[str, Any] = {"setup": self.setup, "on_bot_added": self.added, "on_bot_removed": self.removed}
        return behaviour(self.router, name=name, **functions)

    async def dispatchers(self) -> Dispatchers:
        return await dispatchers_of([self.behaviour("shop")], self.bots)


async def feed(dispatchers: Dispatchers, bots: FewBots) -> Any:
    """Let bot 901 get a message; return what its handler returned."""
    message = Update.model_validate(update("hello"))
    return await dispatchers.feed_update(bots.bot(901), message, registered=bots.registered(901))


def failures(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the module, the hook and the reason of each failure in the log."""
    failed = [each for each in logs if each["event"] == "behaviour_hook_failed"]
    return [(each["behaviour"], each["hook"], each["reason"]) for each in failed]


@pytest.fixture
def bots() -> FewBots:
    return FewBots()


@pytest.fixture
def shop(bots: FewBots) -> Shop:
    return Shop(bots)


@asynccontextmanager
async def following(dispatchers: Dispatchers) -> AsyncIterator[None]:
    """Run the hooks as a process does that handles updates."""
    task = asyncio.create_task(dispatchers.follow())
    await turns()
    try:
        yield
        await turns()
    finally:
        task.cancel()
        await asyncio.wait([task])
        await dispatchers.stop()


async def test_startup_and_shutdown_get_the_bots_that_have_the_behaviour(bots: FewBots, shop: Shop) -> None:
    bots.put(901, shop={})
    bots.put(902, echo={})
    bots.put(903, shop={})

    async with following(await shop.dispatchers()):
        pass

    assert shop.ran == ["startup 903 of [901, 903]", "startup of the router", "shutdown [901, 903]"]


async def test_a_module_without_a_bot_starts_with_its_first_bot(bots: FewBots, shop: Shop) -> None:
    async with following(await shop.dispatchers()):
        before = list(shop.ran)
        bots.put(901, shop={})

    assert before == []
    assert shop.ran == ["startup 901 of [901]", "startup of the router", "shutdown [901]"]


async def test_a_module_without_a_bot_never_starts_and_never_ends(shop: Shop) -> None:
    async with following(await shop.dispatchers()):
        pass

    assert shop.ran == []


async def test_a_bot_that_is_added_changed_or_removed_is_announced(bots: FewBots, shop: Shop) -> None:
    bots.put(901, shop={})

    async with following(await shop.dispatchers()):
        shop.ran.clear()
        bots.put(902, shop={})
        bots.put(903, echo={})
        await turns()
        bots.put(902, shop={"currency": "EUR"})
        bots.put(903, echo={}, shop={})
        await turns()
        bots.put(902, echo={})
        bots.remove(901)
        await turns()
        seen = list(shop.ran)

    assert seen == ["added 902 full", "added 903 full", "removed 902", "removed 901"]


async def test_a_bot_added_while_the_hooks_of_startup_run_is_announced_after_them(bots: FewBots) -> None:
    shop = Shop(bots, hanging="startup 901")
    bots.put(901, shop={})

    async with following(await shop.dispatchers()):
        bots.put(902, shop={})
        await turns()
        before = list(shop.ran)
        shop.go_on.set()
        await turns()

    assert before == ["startup 901 of [901]"]
    assert shop.ran[1:3] == ["startup of the router", "added 902 full"]


async def test_a_bot_whose_hook_hangs_holds_up_no_other_and_its_own_hooks_stay_in_order(bots: FewBots) -> None:
    shop = Shop(bots, hanging="added 902")
    bots.put(901, shop={})

    async with following(await shop.dispatchers()):
        shop.ran.clear()
        bots.put(902, shop={})
        bots.put(903, shop={})
        await turns()
        bots.remove(902)
        await turns()
        before = list(shop.ran)
        shop.go_on.set()
        await turns()
        seen = list(shop.ran)

    assert before == ["added 902 full", "added 903 full"]
    assert seen == [*before, "removed 902"]


async def test_a_hook_that_fails_is_logged_and_stops_no_other(bots: FewBots) -> None:
    shop = Shop(bots, failing="added")
    bots.put(901, shop={})

    with capture_logs() as logs:
        async with following(await shop.dispatchers()):
            shop.ran.clear()
            bots.put(902, shop={})
            bots.put(903, shop={})
            await turns()
            seen = list(shop.ran)

    assert seen == ["added 902 full", "added 903 full"]
    assert failures(logs) == [("shop", "added", "ZeroDivisionError")] * 2


async def test_a_startup_that_fails_is_logged_once_and_its_updates_are_handled(bots: FewBots) -> None:
    shop = Shop(bots, failing="startup")
    bots.put(901, shop={})
    dispatchers = await shop.dispatchers()

    with capture_logs() as logs:
        async with following(dispatchers):
            handled = [await feed(dispatchers, bots), await feed(dispatchers, bots)]

    assert shop.ran == ["startup 901 of [901]"]
    assert handled == ["handled", "handled"]
    assert failures(logs) == [("shop", "startup", "ZeroDivisionError")]


async def test_a_startup_that_takes_too_long_is_logged_and_its_updates_are_handled(
    bots: FewBots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "STARTUP_S", 0)
    shop = Shop(bots, hanging="startup 901")
    bots.put(901, shop={})
    dispatchers = await shop.dispatchers()

    with capture_logs() as logs:
        async with following(dispatchers):
            handled = await feed(dispatchers, bots)

    assert (shop.ran, handled) == (["startup 901 of [901]"], "handled")
    assert failures(logs) == [("shop", "startup", "TimeoutError")]


async def test_an_update_waits_for_the_startup_of_its_module(bots: FewBots) -> None:
    shop = Shop(bots, hanging="startup 901")
    bots.put(901, shop={})
    dispatchers = await shop.dispatchers()

    async with following(dispatchers):
        handling = asyncio.create_task(feed(dispatchers, bots))
        await turns()
        was_handled = handling.done()
        shop.go_on.set()

        assert (was_handled, await handling) == (False, "handled")


async def test_a_module_whose_startup_hangs_holds_up_no_other_module(bots: FewBots) -> None:
    shop, desk = Shop(bots, hanging="startup 901"), Shop(bots)
    bots.put(901, shop={}, desk={})
    modules = [shop.behaviour("shop"), desk.behaviour("desk")]

    async with following(await dispatchers_of(modules, bots)):
        seen = list(desk.ran)

    assert seen == ["startup 901 of [901]", "startup of the router"]


async def test_hooks_of_the_fleet_run_after_those_of_their_process(bots: FewBots) -> None:
    ran: list[str] = []

    def setup(dispatcher: Dispatcher) -> None:
        @dispatcher.startup()
        @once_for_fleet
        async def begin() -> None:
            ran.append("once")

        @dispatcher.startup()
        async def begin_here() -> None:
            await turns(3)
            ran.append("here")

    bots.put(901, shop={})
    dispatchers = await dispatchers_of([behaviour(Router(), name="shop", setup=setup)], bots)
    async with following(dispatchers), dispatchers.hooks_of_fleet():
        await turns()

    assert ran == ["here", "once"]


async def test_a_hook_once_for_the_fleet_runs_only_where_the_update_sources_are(bots: FewBots) -> None:
    ran: list[str] = []

    def setup(dispatcher: Dispatcher) -> None:
        @dispatcher.startup()
        @once_for_fleet
        async def begin(bot: Bot) -> None:
            ran.append(f"once {bot.id}")

        @dispatcher.startup()
        async def begin_here() -> None:
            ran.append("here")

        @dispatcher.shutdown()
        @once_for_fleet
        async def end() -> None:
            ran.append("ended once")

    @once_for_fleet
    async def added(bot: Bot) -> None:
        ran.append(f"added {bot.id}")

    bots.put(901, shop={})
    processes = [
        await dispatchers_of([behaviour(Router(), name="shop", setup=setup, on_bot_added=added)], bots)
        for _ in range(2)
    ]
    async with following(processes[0]), following(processes[1]):
        each, ran[:] = list(ran), []
        async with processes[1].hooks_of_fleet():
            await turns()
            bots.put(902, shop={})
            await turns()
        once, ran[:] = list(ran), []

    assert each == ["here", "here"]
    assert once == ["once 901", "added 902", "ended once"]
    assert ran == []


async def test_a_startup_that_fails_for_the_fleet_is_tried_again_with_the_next_bot_and_not_before(
    bots: FewBots,
) -> None:
    tried: list[int] = []

    def setup(dispatcher: Dispatcher) -> None:
        @dispatcher.startup()
        @once_for_fleet
        async def begin(bot: Bot) -> None:
            tried.append(bot.id)
            if len(tried) == 1:
                raise ZeroDivisionError

    bots.put(901, shop={})
    bots.put(902, shop={})
    dispatchers = await dispatchers_of([behaviour(Router(), name="shop", setup=setup)], bots)
    async with dispatchers.hooks_of_fleet():
        await turns()
        at_first = list(tried)
        bots.put(903, shop={})
        await turns()

    assert (at_first, tried) == ([902], [902, 903])


async def test_the_next_process_that_holds_the_update_sources_runs_them_again(bots: FewBots) -> None:
    ran: list[int] = []

    def setup(dispatcher: Dispatcher) -> None:
        @dispatcher.startup()
        @once_for_fleet
        async def begin(bot: Bot) -> None:
            ran.append(bot.id)

    bots.put(901, shop={})
    dispatchers = await dispatchers_of([behaviour(Router(), name="shop", setup=setup)], bots)
    for _ in range(2):
        async with dispatchers.hooks_of_fleet():
            await turns()

    assert ran == [901, 901]
