"""What the books say of bots and limits comes to the schedule, though nobody could tell it at the time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports import Broker
from tempogram.engine.recovery import settings_sync
from tempogram.engine.recovery.settings_sync import SettingsSync
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tests.engine.desk import UNLIMITED

BOT = 42


@dataclass
class Office:
    """A schedule that notes what it is told; ``away`` it hears nothing."""

    told: list[tuple[object, ...]] = field(default_factory=list)
    away: bool = False

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        self._hear("paused" if paused else "resumed", bot_id)

    async def weigh(self, bot_id: int, weight: int) -> None:
        self._hear("weighs", bot_id, weight)

    async def configure(self, limits: Limits) -> bool:
        self._hear("limits", limits.version)
        return True

    def _hear(self, *words: object) -> None:
        if self.away:
            raise BrokerUnavailable("it is away")
        self.told.append(words)


@dataclass
class Storage:
    """The ledger, and the limits that are in force."""

    ledger: MemoryLedger
    limits: Limits = UNLIMITED

    async def current(self) -> Limits:
        return self.limits


@pytest.fixture
def books() -> Storage:
    return Storage(MemoryLedger())


@pytest.fixture
def office() -> Office:
    return Office()


async def tell(monitored: SettingsSync, office: Office) -> None:
    await monitored.apply(cast("Broker", office), office.configure)


async def test_only_what_changed_is_told_again(books: Storage, office: Office) -> None:
    monitored = SettingsSync(books.ledger, books.current)
    await books.ledger.pause(BOT, paused=True)
    books.ledger.bot_weights[BOT] = 3
    await tell(monitored, office)
    assert office.told == [("paused", BOT), ("weighs", BOT, 3), ("limits", UNLIMITED.version)]

    office.told.clear()
    await books.ledger.pause(BOT, paused=False)
    books.ledger.bot_weights.clear()
    books.limits = replace(UNLIMITED, version=2, bot=Limit(5, 1_000))
    await tell(monitored, office)
    await tell(monitored, office)

    assert office.told == [("resumed", BOT), ("weighs", BOT, 1), ("limits", 2)]


async def test_what_could_not_be_told_is_told_later(books: Storage, office: Office) -> None:
    monitored = SettingsSync(books.ledger, books.current)
    await tell(monitored, office)
    office.told.clear()

    office.away = True
    await settings_sync.pause(cast("Broker", office), BOT, paused=True)  # whoever changed the books is not refused
    await books.ledger.pause(BOT, paused=True)
    with pytest.raises(BrokerUnavailable):
        await tell(monitored, office)
    office.away = False
    await tell(monitored, office)

    assert office.told == [("paused", BOT)]


async def test_another_schedule_is_told_everything(books: Storage, office: Office) -> None:
    monitored = SettingsSync(books.ledger, books.current)
    await books.ledger.pause(BOT, paused=True)
    await tell(monitored, office)

    monitored.forget()
    await tell(monitored, office)

    assert office.told == 2 * [("paused", BOT), ("limits", UNLIMITED.version)]
