"""Pauses, weights and limits of the ledger come to the queue, also if it was away when they changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports import Broker
from tempogram.engine.recovery import settings_sync
from tempogram.engine.recovery.settings_sync import APPLY_EVERY_MS, SettingsSync
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tests.engine.desk import UNLIMITED
from tests.fakes import Clock

BOT = 42


@dataclass
class NotedQueue:
    """A queue that notes what is applied to it; ``away`` it refuses everything."""

    applied: list[tuple[object, ...]] = field(default_factory=list)
    away: bool = False

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        self._note("paused" if paused else "resumed", bot_id)

    async def weigh(self, bot_id: int, weight: int) -> None:
        self._note("weighs", bot_id, weight)

    async def configure(self, limits: Limits) -> bool:
        self._note("limits", limits.version)
        return True

    def _note(self, *words: object) -> None:
        if self.away:
            raise BrokerUnavailable("it is away")
        self.applied.append(words)


@dataclass
class Storage:
    """The ledger, and the limits that are in force."""

    ledger: MemoryLedger
    limits: Limits = UNLIMITED

    async def current(self) -> Limits:
        return self.limits


@pytest.fixture
def storage() -> Storage:
    return Storage(MemoryLedger())


@pytest.fixture
def queue() -> NotedQueue:
    return NotedQueue()


async def apply(settings: SettingsSync, queue: NotedQueue) -> None:
    await settings.apply(cast("Broker", queue), queue.configure)


async def test_only_changed_settings_are_applied_again(storage: Storage, queue: NotedQueue, clock: Clock) -> None:
    settings = SettingsSync(storage.ledger, storage.current, clock)
    await storage.ledger.pause(BOT, paused=True)
    storage.ledger.bot_weights[BOT] = 3
    await apply(settings, queue)
    assert queue.applied == [("paused", BOT), ("weighs", BOT, 3), ("limits", UNLIMITED.version)]

    queue.applied.clear()
    await storage.ledger.pause(BOT, paused=False)
    storage.ledger.bot_weights.clear()
    storage.limits = replace(UNLIMITED, version=2, bot=Limit(5, 1_000))
    await apply(settings, queue)
    await apply(settings, queue)

    assert queue.applied == [("resumed", BOT), ("weighs", BOT, 1), ("limits", 2)]


async def test_a_setting_that_could_not_be_applied_is_applied_later(
    storage: Storage, queue: NotedQueue, clock: Clock
) -> None:
    settings = SettingsSync(storage.ledger, storage.current, clock)
    await apply(settings, queue)
    queue.applied.clear()

    queue.away = True
    await settings_sync.pause(cast("Broker", queue), BOT, paused=True)  # raises nothing: the ledger has it
    await storage.ledger.pause(BOT, paused=True)
    with pytest.raises(BrokerUnavailable):
        await apply(settings, queue)
    queue.away = False
    await apply(settings, queue)

    assert queue.applied == [("paused", BOT)]


async def test_every_setting_is_applied_to_another_queue(storage: Storage, queue: NotedQueue, clock: Clock) -> None:
    settings = SettingsSync(storage.ledger, storage.current, clock)
    await storage.ledger.pause(BOT, paused=True)
    await apply(settings, queue)

    settings.forget()
    await apply(settings, queue)

    assert queue.applied == 2 * [("paused", BOT), ("limits", UNLIMITED.version)]


async def test_an_idle_ledger_is_compared_seldom_unless_the_queue_was_missed(
    storage: Storage, queue: NotedQueue, clock: Clock
) -> None:
    settings = SettingsSync(storage.ledger, storage.current, clock)

    async def compare() -> None:
        await settings.apply(cast("Broker", queue), queue.configure, every_ms=APPLY_EVERY_MS)

    await compare()
    await storage.ledger.pause(BOT, paused=True)
    queue.applied.clear()
    clock.advance(APPLY_EVERY_MS - 1)
    await compare()
    assert queue.applied == []

    settings.hurry()
    await compare()
    assert queue.applied == [("paused", BOT)]

    await storage.ledger.pause(BOT, paused=False)
    clock.advance(APPLY_EVERY_MS)
    await compare()
    assert queue.applied == [("paused", BOT), ("resumed", BOT)]
