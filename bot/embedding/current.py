"""The engine that runs in this program, for the functions of ``tempogram``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiogram import Bot

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.usecases.known_bots import unknown_bot
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.calls.session import EngineSession
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.wiring.app import dependencies
from tempogram.bot.wiring.program import Program
from tempogram.engine.services.changed import ChangedServices
from tempogram.engine.services.services import Services
from tempogram.storage.scheduler.sweeps import SqlSweeps

NOT_RUNNING = (
    "no engine of Tempogram runs in this program; name your module in BEHAVIOURS and start tempogram run, "
    "or call this inside `async with Tempogram():`"
)

WAIT_S = 2.0
"""How long ``send`` waits for a place where neither its caller nor ``TELEGRAM_RATE_LIMIT_WAIT`` says so."""


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """What the functions need of a program that runs.

    Attributes:
        dependencies: What the endpoints of the API use.
        services: What is called besides Telegram.
        changed_services: Changes them while they run.
        sweeps: How far each sweep and each named bulk is.
        wait_s: How long ``send`` waits for a place.
    """

    gateway: Gateway
    dependencies: Dependencies
    services: Services
    changed_services: ChangedServices
    sweeps: SqlSweeps
    fleet: Fleet
    wait_s: float

    async def bot(self, bot: Bot | int) -> Bot:
        """Return the ``Bot`` of an id, with its defaults; a ``Bot`` as it is.

        Raises:
            Refusal: No such bot is known here.
            SettingsError: The ``Bot`` speaks with another Bot API than the engine.
        """
        if isinstance(bot, Bot):
            if isinstance(bot.session, EngineSession):
                bot.session.check_base()
            return bot
        registry = self.fleet.registry
        if not registry.has(bot):
            await self.fleet.reload([bot])  # another process may have added it just now
        if not registry.has(bot):
            raise unknown_bot(bot)
        return registry.bot(bot)


_running: list[RunningEngine] = []


def engine() -> RunningEngine:
    """Return the engine that runs in this program, in whichever thread.

    Raises:
        RuntimeError: There is none; one sentence with the way out.
    """
    if not _running:
        raise RuntimeError(NOT_RUNNING)
    return _running[-1]


def is_running() -> bool:
    return bool(_running)


@contextmanager
def of(built: Program) -> Iterator[None]:
    """Let a program be the one of this process until the block ends."""
    wait_s = built.context.settings.telegram_rate_limit_wait
    running = RunningEngine(
        gateway=built.front.updates.gateway,
        dependencies=dependencies(built),
        services=built.front.services,
        changed_services=built.front.changed_services,
        sweeps=built.storage.sweeps,
        fleet=built.front.fleet,
        wait_s=WAIT_S if wait_s is None else wait_s,
    )
    _running.append(running)
    try:
        yield
    finally:
        _running.remove(running)
