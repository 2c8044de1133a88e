"""What each process finds wrong in itself; also a worker, which has none of the rest of the alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tempogram.bot.config.settings import Settings
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.alerts.process_rules import ProcessRules
from tempogram.engine.alerts.sightings import Sightings
from tempogram.engine.model.ids import number_of

if TYPE_CHECKING:
    from tempogram.engine.services.services import Services


def sightings_of(context: Context, storage: Storage, queue: Queue, engine: Engine) -> Sightings:
    """Return what a process that only sends has of alerts."""
    return sightings(context, storage, own_rules(context, queue, engine, None))


def sightings(context: Context, storage: Storage, own: ProcessRules) -> Sightings:
    process, check_s = number_of(storage.process), context.settings.alert_check_s
    return Sightings(storage.alerts, own, process=process, check_s=check_s, clock=context.clock)


def own_rules(context: Context, queue: Queue, engine: Engine, services: Services | None) -> ProcessRules:
    return ProcessRules(
        queue.conditions,
        failing=tuple if services is None else services.failing,
        held=engine.known_holds.of_chats,
        long_ms=long_hold_ms(context.settings),
        clock=context.clock,
    )


def long_hold_ms(settings: Settings) -> int:
    return round(settings.telegram_max_retry_after * 1_000)
