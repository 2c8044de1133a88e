"""A Dispatcher for each behaviour, fed only with the updates of bots that have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.fsm.storage.base import BaseStorage
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import Update
from aiogram.types.update import UpdateTypeLookupError

from tempogram.bot.behaviours import hooks
from tempogram.bot.behaviours.behaviour import Behaviour
from tempogram.bot.behaviours.hooks import BotsOfBehaviour
from tempogram.bot.behaviours.registry import BUNDLED
from tempogram.bot.fsm.dispatcher import new_dispatcher
from tempogram.storage.bots import RegisteredBot


async def dispatcher_for(
    behaviour: Behaviour, *, storage: BaseStorage | None = None, bundled: Mapping[str, Any] | None = None
) -> Dispatcher:
    """Return a behaviour's Dispatcher, set up by its module.

    Args:
        behaviour: One's own, or a bundled one.
        storage: Where states are kept, unless ``setup`` chooses another; None: in memory.
        bundled: Arguments of the bundled behaviours' handlers; these have no states.

    Raises:
        SettingsError: The module's ``setup`` failed.
    """
    is_bundled = behaviour.module in BUNDLED
    dispatcher = (
        Dispatcher(disable_fsm=True, **bundled or {}) if is_bundled else new_dispatcher(storage or MemoryStorage())
    )
    await behaviour.set_up(dispatcher)
    return dispatcher


class RunningBehaviour:
    """One behaviour with its Dispatcher and its hooks."""

    def __init__(self, behaviour: Behaviour, dispatcher: Dispatcher, registry: BotsOfBehaviour) -> None:
        self.name = behaviour.name
        self.dispatcher = dispatcher
        self._registry = registry
        self.hooks_of_fleet = hooks.of_the_fleet(behaviour, dispatcher, registry)  # first: it takes them out
        self.hooks = hooks.of_each_process(behaviour, dispatcher, registry)
        self._kinds: frozenset[str] | None = None

    async def feed(self, bot: Bot, update: Update, kind: str, registered: RegisteredBot) -> Any:
        """Let the behaviour handle an update; ``UNHANDLED`` if it has no handler for it."""
        await self.hooks.start()
        if self._kinds is None:
            self._kinds = frozenset(self.dispatcher.resolve_used_update_types())
        if self._kinds and kind not in self._kinds:
            return UNHANDLED  # under plain aiogram, Telegram would not be asked for it
        return await self.dispatcher.feed_update(bot, update, **self._arguments(registered))

    def _arguments(self, registered: RegisteredBot) -> dict[str, Any]:
        """Return what handlers get besides aiogram's own; what ``setup`` put into the Dispatcher has precedence."""
        ours = {"config": registered.behaviours[self.name], "registered": registered}
        given = {"bots": self._registry.bots_with(self.name), **ours}
        return {name: value for name, value in given.items() if name not in self.dispatcher.workflow_data}


class Dispatchers:
    """Asks the behaviours of a bot in their order, until one handles the update."""

    def __init__(self, running: Sequence[RunningBehaviour]) -> None:
        self._running = running

    async def feed_update(self, bot: Bot, update: Update, *, registered: RegisteredBot) -> Any:
        """Return what the handler returned; ``UNHANDLED`` if no behaviour has one for this update."""
        try:
            kind = update.event_type
        except UpdateTypeLookupError:
            return UNHANDLED  # a kind that is newer than aiogram
        for each in self._running:
            if each.name in registered.behaviours:
                returned = await each.feed(bot, update, kind, registered)
                if returned is not UNHANDLED:
                    return returned
        return UNHANDLED

    def kinds_of(self, names: Collection[str]) -> set[str]:
        """Return the kinds of updates that behaviours have handlers for."""
        chosen = [each.dispatcher for each in self._running if each.name in names]
        return {kind for dispatcher in chosen for kind in dispatcher.resolve_used_update_types()}

    def missing(self, names: Collection[str]) -> set[str]:
        """Return the behaviours that are not loaded here."""
        return set(names) - {each.name for each in self._running}

    async def start(self) -> None:
        """Run this process's hooks of startup, of the behaviours that have a bot; return when they have ended."""
        await asyncio.gather(*(each.hooks.start() for each in self._running))

    async def follow(self) -> None:
        """Run this process's hooks of startup, and of bots that are added and removed, until cancelled.

        No behaviour waits for another's hooks; its updates wait for its own hooks of startup.
        """
        async with asyncio.TaskGroup() as group:
            for each in self._running:
                group.create_task(_start_and_follow(each.hooks))

    async def stop(self) -> None:
        """Run the hooks of shutdown in this process, of the last behaviour first."""
        for each in reversed(self._running):
            await each.hooks.stop()

    @asynccontextmanager
    async def hooks_of_fleet(self) -> AsyncIterator[None]:
        """Run the hooks marked ``once_for_fleet``, until the block ends."""
        tasks = [asyncio.create_task(_lead(each)) for each in self._running]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _lead(running: RunningBehaviour) -> None:
    try:
        await running.hooks.start()  # these may prepare what those of the fleet use
        await _start_and_follow(running.hooks_of_fleet)
    finally:
        await running.hooks_of_fleet.stop()


async def _start_and_follow(followed: hooks.Hooks) -> None:
    await followed.start()
    await followed.follow()


async def dispatchers_of(
    behaviours: Sequence[Behaviour],
    registry: BotsOfBehaviour,
    *,
    storage: BaseStorage | None = None,
    bundled: Mapping[str, Any] | None = None,
) -> Dispatchers:
    """Set up every behaviour.

    Raises:
        SettingsError: The ``setup`` of a module failed.
    """
    made = [(each, await dispatcher_for(each, storage=storage, bundled=bundled)) for each in behaviours]
    return Dispatchers([RunningBehaviour(behaviour, dispatcher, registry) for behaviour, dispatcher in made])
