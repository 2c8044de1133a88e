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
        self._changed: asyncio.Queue[int] = asyncio.Queue()
        self._starting = asyncio.Lock()
        self.is_started = False

    async def start(self) -> None:
        """Run the hooks of startup, once there is a bot for them; raises what a hook raises."""
        if self.is_started:
            return
        async with self._starting:
            bots = self._registry.bots_with(self._behaviour.name)
            if self.is_started or not bots:
                return
            self._known = {bot.id for bot in bots}
            await self._startup(**self._arguments(bots))
            self.is_started = True

    async def follow(self) -> None:
        """Run the hooks of bots that are added and removed, until cancelled."""
        stop_watching = self._registry.watch(self._changed.put_nowait)
        try:
            for bot_id in self._missed():
                await self._compare(bot_id)
            while True:
                await self._compare(await self._changed.get())
        finally:
            stop_watching()

    async def stop(self) -> None:
        """Run the hooks of shutdown, if it has started."""
        if not self.is_started:
            return
        self.is_started = False
        await self._guarded("shutdown", self._shutdown, **self._arguments(self._registry.bots_with(self.name)))

    async def start_guarded(self) -> None:
        """Start; a hook that fails is logged."""
        await self._guarded("startup", self.start)

    @property
    def name(self) -> str:
        return self._behaviour.name

    def _missed(self) -> set[int]:
        return self._known ^ {bot.id for bot in self._registry.bots_with(self.name)}

    async def _compare(self, bot_id: int) -> None:
        """Run the hook of a bot that has, or lost, the behaviour since it was last looked at."""
        has, had = self._registry.has_behaviour(bot_id, self.name), bot_id in self._known
        if has == had:
            return
        self._known ^= {bot_id}
        if not self.is_started:
            await self.start_guarded()
        elif has:
            await self._run(self._added, bot=self._registry.bot(bot_id), bot_id=bot_id)
        else:
            await self._run(self._removed, bot_id=bot_id)

    async def _run(self, hook: CallableObject | None, **arguments: Any) -> None:
        if hook is not None:
            given = {"dispatcher": self._dispatcher, **self._dispatcher.workflow_data, **arguments}
            await self._guarded(hook.callback.__name__, hook.call, **given)

    async def _guarded(self, what: str, hook: Callable[..., Any], **arguments: Any) -> None:
        try:
            await hook(**arguments)
        except Exception as error:
            log.exception("behaviour_hook_failed", behaviour=self.name, hook=what, reason=type(error).__name__)

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
