"""The program, put together in this process; nothing of it runs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from tempogram.bot.config.settings import Settings, load
from tempogram.bot.wiring import program
from tempogram.bot.wiring.engine import host_of
from tempogram.storage.database.engines import READERS
from tests.fakes import Clock


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    return load(data_dir=tmp_path / "data")


async def test_the_epoch_is_read_over_connections_of_its_own(settings: Settings) -> None:
    async with program(settings, clock=Clock()) as built, AsyncExitStack() as readers, asyncio.timeout(5):
        for _ in range(READERS):
            await readers.enter_async_context(built.storage.ledger._database.reading())

        assert await built.storage.epochs.current()


async def test_the_dispatcher_and_the_delivery_share_their_pending_admissions(settings: Settings) -> None:
    async with program(settings, clock=Clock()) as built:
        noted_by_delivery = built.engine.worker._delivery._lost_leases._pending_admissions

        assert built.engine.dispatcher.pending_admissions is noted_by_delivery


async def test_new_ids_sort_after_waiting_ones_though_the_clock_stepped_back(
    settings: Settings,
) -> None:
    clock = Clock()
    async with program(settings, clock=clock) as built:
        before = built.front.updates.composer.compose(42, 7, "sendMessage", {"text": "first"})
        await built.storage.ledger.add([before])

    clock.advance(-3_600_000)
    async with program(settings, clock=clock) as built:
        after = built.front.updates.composer.compose(42, 7, "sendMessage", {"text": "second"})

    assert before.id < after.id


def test_when_telegram_is_away_the_proxy_before_it_is_named_without_its_password(settings: Settings) -> None:
    proxied = settings.model_copy(update={"telegram_proxy": SecretStr("http://me:canary@10.0.0.1:3128")})

    assert host_of(settings) == "api.telegram.org"
    assert host_of(proxied) == "api.telegram.org through the proxy 10.0.0.1:3128"
