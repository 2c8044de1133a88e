"""What a program's own Dispatchers are fed, by polling or by webhook.

``Dispatcher.feed_update`` is the one way of every update, so it is wrapped: what the handlers call is made for the
update, and a method that a handler returns is submitted, never written into the reply to a webhook, round every limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import structlog
from aiogram import Bot, Dispatcher
from aiogram.types import Update

from tempogram.api.core.ports import Refusal
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.embedding.usernames import Usernames
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.bot.telegram.methods import QUEUED
from tempogram.bot.telegram.priority import priority_of
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.bot.updates.hearing import Hearing
from tempogram.bot.updates.intake import methods_in
from tempogram.bot.updates.reachability import ReachabilityObserver
from tempogram.bot.updates.recorder import Recorder
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports import Clock

log = structlog.get_logger()

RECORDS_MAX = 1_000
"""Updates of which the message is being stored; beyond, it is not. untuned: the database is far behind then, and
only the history of incoming messages has a gap."""


class Feeding:
    """Handles an update as aiogram would, and what it calls as the engine does.

    An update costs the handler nothing but a look into memory: its message and chat are stored beside the handler. Only
    one that shows that a chat is lost, or back, is written before, because the answer would be refused otherwise.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        fleet: Fleet,
        observer: ReachabilityObserver,
        recorder: Recorder,
        hearing: Hearing,
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self._fleet = fleet
        self._observer = observer
        self._recorder = recorder
        self._hearing = hearing
        self._clock = clock
        self._usernames = Usernames()
        self._handling: set[asyncio.Future[None]] = set()  # one for each update, as a task may feed many
        self._recording: set[asyncio.Task[None]] = set()

    @contextmanager
    def of_every_dispatcher(self) -> Iterator[None]:
        """Take part in what every Dispatcher is fed, until the block ends."""
        feed = Dispatcher.feed_update

        # Only by its position: aiogram gives a ``dispatcher`` among the arguments of handlers, too.
        async def feed_update(dispatcher: Dispatcher, /, bot: Bot, update: Update, **kwargs: Any) -> Any:
            return await self._feed(lambda: feed(dispatcher, bot, update, **kwargs), bot, update)

        setattr(Dispatcher, "feed_update", feed_update)  # noqa: B010 - mypy takes methods for constants
        try:
            yield
        finally:
            setattr(Dispatcher, "feed_update", feed)  # noqa: B010 - see above
            self._usernames.stop()

    async def finish(self) -> None:
        """Wait until no handler runs, and all is stored."""
        while under_way := self._handling | self._recording:
            await asyncio.wait(under_way)

    async def _feed(self, feed: Callable[[], Awaitable[Any]], bot: Bot, update: Update) -> Any:
        if update.update_id <= 0 or _is_under_way(bot, update) or self._gateway.has_ended:
            return await feed()  # none of Telegram's; or a handler feeds its own update once more
        await self._gateway.loop.run(self._take_note(bot, update))
        priority = priority_of(update, bot.id, self._usernames.of(bot))
        context = UpdateContext(bot.id, update.update_id, priority, update_context.user_of(update))
        with self._counted(), update_context.of(context):
            returned = await feed()
            methods = methods_in(returned)
            for method in methods:
                await self._make(bot, method)
        return None if methods else returned

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Have ``finish`` wait for the block, if it runs in the engine's loop."""
        if not self._gateway.loop.is_here:
            yield
            return
        self._handling.add(over := asyncio.get_running_loop().create_future())
        try:
            yield
        finally:
            self._handling.discard(over)
            over.set_result(None)

    async def _make(self, bot: Bot, method: AnyMethod) -> None:
        """Make a call that a handler returned; aiogram logs a refusal."""
        rule = QUEUED.get(method.__api_method__)

        async def submit(_: AnyMethod) -> None:
            if rule is not None:
                await self._gateway.loop.run(self._gateway.submit(bot, method, rule))

        await Dispatcher.silent_call_request(bot if rule is None else cast("Bot", submit), method)

    async def _take_note(self, bot: Bot, update: Update) -> None:
        self._hearing.note(update, bot.id)
        self._usernames.ask(bot)
        try:
            await self._observer.observe(update, bot.id)
        except LedgerError as error:
            log.warning("update_not_recorded", bot_id=bot.id, update_id=update.update_id, error=str(error))
        if (update.message or update.channel_post) and len(self._recording) < RECORDS_MAX:
            task = asyncio.create_task(self._record(bot, update, self._clock()))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def _record(self, bot: Bot, update: Update, received_at_ms: int) -> None:
        try:
            await self._fleet.learn(bot.token)
            registered = self._fleet.registry.registered(bot.id)
            await self._recorder.record(update, registered, received_at_ms=received_at_ms)
        except Refusal:
            pass  # the bot was removed, or its token is not Telegram's; its calls are refused
        except LedgerError as error:
            log.warning("update_not_recorded", bot_id=bot.id, update_id=update.update_id, error=str(error))


def _is_under_way(bot: Bot, update: Update) -> bool:
    context = update_context.current()
    return context is not None and (context.bot_id, context.update_id) == (bot.id, update.update_id)
