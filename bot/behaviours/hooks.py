"""Runs the hooks of one behaviour: at the start, at the end, and for each bot that is added or removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from aiogram import Bot, Dispatcher, Router
from aiogram.dispatcher.event.handler import CallableObject

from tempogram.bot.behaviours.behaviour import Behaviour
from tempogram.bot.behaviours.once import is_once

log = structlog.get_logger()

STARTUP_S = 30.0
"""How long a module's hooks of startup may take, while its updates wait; untuned: an awaited call may never return."""


class BotsOfBehaviour(Protocol):
    """See ``bot.fleet.registry.Registry``."""

    def bots_with(self, behaviour: str) -> tuple[Bot, ...]: ...

    def has_behaviour(self, bot_id: int, behaviour: str) -> bool: ...

    def bot(self, bot_id: int) -> Bot: ...

    def watch(self, listener: Callable[[int], None]) -> Callable[[], None]: ...


class Hooks:
    """The hooks of one behaviour, either those of each process or those that run once for the fleet.

    The behaviour starts when it has its first bot, as aiogram hands a bot to its hooks of startup. From then on it is
    notified of bots that are added and removed.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        dispatcher: Dispatcher,
        registry: BotsOfBehaviour,
        *,
        startup: Callable[..., Any],
        shutdown: Callable[..., Any],
        once: bool,
    ) -> None:
        self._behaviour = behaviour
        self._dispatcher = dispatcher
        self._registry = registry
        self._startup = startup
        self._shutdown = shutdown
        self._added = _function(behaviour, "on_bot_added", once=once)
        self._removed = _function(behaviour, "on_bot_removed", once=once)
        self._known: set[int] = set()
        self._announcing: set[int] = set()
        self._starting = asyncio.Lock()
        self._was_tried = False
        self.is_started = False

    async def start(self) -> None:
        """Run the hooks of startup, once there is a bot for them.

        If one fails, or they take longer than ``STARTUP_S``, that is logged, and the behaviour is used all the same.
        """
        if self._was_tried:
            return
        async with self._starting:
            if not self._was_tried:
                await self._try_to_start()

    async def follow(self) -> None:
        """Run the hooks of bots that are added and removed, until cancelled; those of one bot in order."""
        async with asyncio.TaskGroup() as group:
            stop_watching = self._registry.watch(lambda bot_id: self._announce_in(group, bot_id))
            try:
                for bot_id in self._missed():
                    self._announce_in(group, bot_id)
                await asyncio.Event().wait()
            finally:
                stop_watching()

    async def stop(self) -> None:
        """Run the hooks of shutdown, if it has started."""
        self._was_tried = False
        if not self.is_started:
            return
        self.is_started = False
        await self._guarded("shutdown", self._shutdown, **self._arguments(self._registry.bots_with(self.name)))

    @property
    def name(self) -> str:
        return self._behaviour.name

    def _missed(self) -> set[int]:
        return self._known ^ {bot.id for bot in self._registry.bots_with(self.name)}

    async def _try_to_start(self) -> None:
        bots = self._registry.bots_with(self.name)
        self._known = {bot.id for bot in bots}
        if bots:
            self.is_started = await self._guarded("startup", self._start_in_time, **self._arguments(bots))
            self._was_tried = True

    async def _start_in_time(self, **arguments: Any) -> None:
        async with asyncio.timeout(STARTUP_S):
            await self._startup(**arguments)

    def _announce_in(self, group: asyncio.TaskGroup, bot_id: int) -> None:
        if bot_id not in self._announcing:
            self._announcing.add(bot_id)
            group.create_task(self._announce(bot_id))

    async def _announce(self, bot_id: int) -> None:
        """Run the hooks of a bot until they know whether it has the behaviour."""
        try:
            while self._is_news(bot_id):
                if self.is_started:
                    await self._announce_once(bot_id)
                else:
                    await self._start_with(bot_id)
        finally:
            self._announcing.discard(bot_id)

    def _is_news(self, bot_id: int) -> bool:
        """Tell whether a bot has, or lost, the behaviour since the hooks last heard of it."""
        return self._registry.has_behaviour(bot_id, self.name) != (bot_id in self._known)

    async def _start_with(self, bot_id: int) -> None:
        """Start with the first bot; after a failure, try again with the next."""
        async with self._starting:
            if not self.is_started and self._is_news(bot_id):
                await self._try_to_start()

    async def _announce_once(self, bot_id: int) -> None:
        self._known ^= {bot_id}
        if bot_id in self._known:
            await self._run(self._added, bot=self._registry.bot(bot_id), bot_id=bot_id)
        else:
            await self._run(self._removed, bot_id=bot_id)

    async def _run(self, hook: CallableObject | None, **arguments: Any) -> None:
        if hook is not None:
            given = {"dispatcher": self._dispatcher, **self._dispatcher.workflow_data, **arguments}
            await self._guarded(hook.callback.__name__, hook.call, **given)

    async def _guarded(self, what: str, hook: Callable[..., Any], **arguments: Any) -> bool:
        try:
            await hook(**arguments)
        except Exception as error:
            log.exception("behaviour_hook_failed", behaviour=self.name, hook=what, reason=type(error).__name__)
            return False
        return True

    def _arguments(self, bots: Sequence[Bot]) -> dict[str, Any]:
        """Return the arguments that aiogram gives to hooks of startup and shutdown."""
        last = {"bot": bots[-1]} if bots else {}
        return {"dispatcher": self._dispatcher, "bots": tuple(bots), **self._dispatcher.workflow_data, **last}


def of_each_process(behaviour: Behaviour, dispatcher: Dispatcher, registry: BotsOfBehaviour) -> Hooks:
    """Return the hooks that run in each process that handles updates."""
    return Hooks(
        behaviour,
        dispatcher,
        registry,
        startup=dispatcher.emit_startup,
        shutdown=dispatcher.emit_shutdown,
        once=False,
    )


def of_the_fleet(behaviour: Behaviour, dispatcher: Dispatcher, registry: BotsOfBehaviour) -> Hooks:
    """Take the hooks marked ``once_for_fleet`` out of the Dispatcher, and return them."""
    return Hooks(
        behaviour,
        dispatcher,
        registry,
        startup=_taken_out(dispatcher, "startup"),
        shutdown=_taken_out(dispatcher, "shutdown"),
        once=True,
    )


def _taken_out(dispatcher: Dispatcher, event: str) -> Callable[..., Any]:
    marked: list[tuple[Router, CallableObject]] = []
    for router in dispatcher.chain_tail:
        observer = getattr(router, event)
        marked += [(router, handler) for handler in observer.handlers if is_once(handler.callback)]
        observer.handlers[:] = [handler for handler in observer.handlers if not is_once(handler.callback)]

    async def emit(**arguments: Any) -> None:
        for router, handler in marked:
            await handler.call(**arguments, router=router)

    return emit


def _function(behaviour: Behaviour, name: str, *, once: bool) -> CallableObject | None:
    function = behaviour.function(name)
    return CallableObject(function) if function is not None and is_once(function) is once else None
