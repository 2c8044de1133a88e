"""How often a process reads the epoch: seldom while it hears of each, and not when its leader has just read it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from tempogram.engine.failover.epoch_watcher import SHARE_OF_LEASE, WATCH_WITHOUT_LEASES_S, EpochWatcher
from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.ports import Epoch, LeaseSource
from tempogram.engine.resilience.conditions import Conditions
from tests.fakes import Clock

LEASE_MS = 30_000


class AnnouncedEpochs:
    """Time passes while the next one is awaited; ``announced_at_ms``: when one is."""

    are_announced = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.announced_at_ms: int | None = None

    async def current(self) -> Epoch:
        return Epoch(1, LeaseSource.REDIS, 1)

    async def advance(self, after: Epoch, source: LeaseSource, *, schema: int) -> Epoch:
        raise NotImplementedError

    async def bypass(self, epoch: Epoch) -> None:
        raise NotImplementedError

    async def next(self, *, within_s: float) -> bool:
        until_ms = self._clock() + round(within_s * 1_000)
        is_announced = self.announced_at_ms is not None and self.announced_at_ms <= until_ms
        self._clock.now_ms = self.announced_at_ms if is_announced and self.announced_at_ms else until_ms
        return is_announced


class FollowingBroker:
    is_bypassed = False

    def follow(self, epoch: Epoch, *, read_at_ms: int) -> None:
        pass


@pytest.fixture
def epochs(clock: Clock) -> AnnouncedEpochs:
    return AnnouncedEpochs(clock)


def watcher(epochs: AnnouncedEpochs, clock: Clock, *, leases: bool = True) -> EpochWatcher:
    return EpochWatcher(
        epochs=epochs,
        broker=cast("FailoverBroker", FollowingBroker()),
        schema=1,
        lease_ms=LEASE_MS,
        clock=clock,
        conditions=Conditions(clock),
        leases=leases,
    )


@pytest.mark.parametrize(
    ("leases", "every_ms"), [(True, LEASE_MS // SHARE_OF_LEASE), (False, WATCH_WITHOUT_LEASES_S * 1_000)]
)
async def test_a_process_that_hears_of_epochs_reads_them_seldom_and_more_so_if_it_leases_nothing(
    epochs: AnnouncedEpochs, clock: Clock, *, leases: bool, every_ms: int
) -> None:
    reader, since_ms = watcher(epochs, clock, leases=leases), clock()
    await reader.look()

    await reader.rest(asyncio.sleep)

    assert clock() - since_ms == every_ms


async def test_an_announcement_ends_the_rest(epochs: AnnouncedEpochs, clock: Clock) -> None:
    reader, since_ms = watcher(epochs, clock), clock()
    epochs.announced_at_ms = since_ms + 700

    await reader.rest(asyncio.sleep)

    assert clock() - since_ms == 700


async def test_the_rest_begins_anew_when_the_leader_reads_the_epoch_meanwhile(
    epochs: AnnouncedEpochs, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, since_ms, read_at_ms = watcher(epochs, clock), clock(), clock() + 3_000

    async def read_meanwhile(*, within_s: float) -> bool:
        until_ms = clock() + round(within_s * 1_000)
        if clock() < read_at_ms <= until_ms:
            clock.now_ms = read_at_ms
            await reader.look()
        clock.now_ms = until_ms
        return False

    monkeypatch.setattr(epochs, "next", read_meanwhile)
    await reader.rest(asyncio.sleep)

    assert clock() - since_ms == 3_000 + LEASE_MS // SHARE_OF_LEASE
