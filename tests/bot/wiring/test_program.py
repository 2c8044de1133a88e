"""The program, put together in this process; nothing of it runs."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from operator import methodcaller
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tempogram.bot.config.data_dir import database_url
from tempogram.bot.config.settings import Settings, load
from tempogram.bot.wiring import program
from tempogram.bot.wiring.engine import host_of
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.messages import PausedBy
from tempogram.engine.resilience.conditions import Condition
from tempogram.storage.bots import Bots, Removal
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import READERS
from tempogram.storage.keys import Seal
from tempogram.storage.processes.clean_end import ENDED, IN_USE
from tempogram.storage.processes.exclusive_lock import SqliteExclusiveLock
from tests.fakes import START_MS, Clock


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    return load(data_dir=tmp_path / "data")


KEY = SecretStr("a-secret-key-for-tests")


async def with_bots(settings: Settings, *damage: str) -> None:
    """Make a database with three bots, and damage it by SQL."""
    database = await Database.open(database_url(settings))
    for bot_id in (41, 42, 43):
        await Bots(database, Seal(KEY.get_secret_value())).add(
            bot_id, f"{bot_id}:token", username=f"b{bot_id}", first_name="", behaviours={}, now_ms=START_MS
        )
    for sql in damage:
        await database.write_alone(methodcaller("exec_driver_sql", sql))
    await database.close()


BAD_ROWS = {
    "garbage": "UPDATE bots SET sealed_token = randomblob(60) WHERE bot_id = 42",
    "cut off": "UPDATE bots SET sealed_token = substr(sealed_token, 1, 5) WHERE bot_id = 42",
    "empty": "UPDATE bots SET sealed_token = x'' WHERE bot_id = 42",
    "no bytes": "UPDATE bots SET sealed_token = '42:token' WHERE bot_id = 42",
    "null": "UPDATE bots SET sealed_token = NULL WHERE bot_id = 42",
}


@pytest.mark.parametrize("damage", BAD_ROWS)
async def test_a_bot_whose_token_cannot_be_read_waits_and_the_others_run(settings: Settings, damage: str) -> None:
    settings = settings.model_copy(update={"secret_key": KEY})
    settings.data_dir.mkdir(0o700)
    await with_bots(settings, BAD_ROWS[damage])

    with capture_logs() as logs:
        async with program(settings, clock=Clock()) as built:
            fleet, ledger, bots = built.front.fleet, built.storage.ledger, built.storage.bots
            before = (fleet.registry.bot_ids, await ledger.paused_bots(), built.queue.conditions.current)
            shown = await bots.get(42)
            await fleet.add_unverified("42:entered-anew")  # as POST /bots does, once Telegram has confirmed it
            after = (fleet.registry.bot_ids, await ledger.paused_bots(), built.queue.conditions.current)

    assert before == ([41, 43], [42], [Condition.TOKEN_UNREADABLE])
    assert shown is not None
    assert (shown.username, shown.paused_by) == ("b42", PausedBy.UNREADABLE)
    assert after == ([41, 43, 42], [], [])
    alerts = [(each["kind"], each["bot_id"], each["way_out"]) for each in logs if each["event"] == "alert"]
    assert alerts == [("token_unreadable", 42, "enter it anew: tempogram keys enter 42, or POST /bots")]


async def test_a_bot_whose_token_cannot_be_read_is_removed_as_any_other(settings: Settings) -> None:
    settings = settings.model_copy(update={"secret_key": KEY})
    settings.data_dir.mkdir(0o700)
    await with_bots(settings, BAD_ROWS["garbage"])

    async with program(settings, clock=Clock()) as built:
        assert await built.front.fleet.remove(42, keep_messages=False)

        assert built.queue.conditions.current == []
        assert built.front.fleet.registry.is_removed(42)
        assert await built.storage.bots.removed() == {42: Removal.CANCEL}


@pytest.mark.parametrize("key", ["another-key-than-before", ""])
async def test_a_start_with_another_key_or_none_is_refused_and_makes_no_key(settings: Settings, key: str) -> None:
    settings.data_dir.mkdir(0o700)
    await with_bots(settings)

    with pytest.raises(SettingsError, match="tempogram keys enter takes their tokens anew"):
        async with program(settings.model_copy(update={"secret_key": SecretStr(key)}), clock=Clock()):
            pass

    assert not (settings.data_dir / "secret_key").exists()


async def test_a_mistyped_variable_of_a_service_is_named_at_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILLIO_CONCURRENCY_LIMIT", "5")

    with capture_logs() as logged:
        async with program(settings, clock=Clock()):
            pass

    named = [(line["name"], line["did_you_mean"]) for line in logged if line["event"] == "setting_misspelt"]
    assert named == [("TWILLIO_CONCURRENCY_LIMIT", "TWILIO_CONCURRENCY_LIMIT")]


async def test_the_database_is_marked_as_in_use_until_a_clean_end(settings: Settings) -> None:
    path = settings.data_dir / "tempogram.db"

    async with program(settings, clock=Clock()) as built:
        lock = built.storage.exclusive_lock
        assert isinstance(lock, SqliteExclusiveLock)
        # By the descriptor of the lock: closing another one would drop SQLite's locks.
        during = os.pread(lock._file.descriptor, 64, 0)[60:]

    assert [int.from_bytes(mark, "big") for mark in (during, path.read_bytes()[60:64])] == [IN_USE, ENDED]
    assert sorted(each.name for each in path.parent.iterdir()) == ["admin_token", "secret_key", "tempogram.db"]


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
