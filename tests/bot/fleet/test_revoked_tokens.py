"""A token that Telegram refuses pauses its bot, until the bot has a valid one."""

from __future__ import annotations

from functools import partial

import pytest
from structlog.testing import capture_logs

from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.revoked_tokens import RevokedTokens
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.model.messages import PausedBy
from tempogram.engine.recovery.settings_sync import resume_with_token
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import World
from tests.engine.desk import LEASE_MS, UNLIMITED
from tests.fakes import Clock, outgoing


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    return MemoryBroker(UNLIMITED, clock=clock, lease_ms=LEASE_MS)


@pytest.fixture
def ledger(database: Database) -> SqlLedger:
    return SqlLedger(database)


def revoked_tokens(fleet: Fleet, ledger: SqlLedger, broker: MemoryBroker) -> RevokedTokens:
    return RevokedTokens(fleet=fleet, ledger=ledger, broker=broker)


async def test_a_bot_with_a_revoked_token_sends_nothing_and_has_one_alert(
    fleet: Fleet, ledger: SqlLedger, broker: MemoryBroker
) -> None:
    with capture_logs() as logs:
        paused = [await revoked_tokens(fleet, ledger, broker).pause(BOT_ID, TOKEN) for _ in range(3)]

    admission = await broker.admit([outgoing("a", bot_id=BOT_ID)], worker_id="w", slots=1)
    assert (paused, admission.leased.leases) == ([True, True, True], ())
    assert fleet.registry.registered(BOT_ID).paused_by is PausedBy.TOKEN
    assert [(each["kind"], each["bot_id"]) for each in logs if each["event"] == "alert"] == [("token_revoked", BOT_ID)]


async def test_a_token_that_another_process_has_replaced_pauses_no_bot(
    world: World, fleet: Fleet, ledger: SqlLedger, broker: MemoryBroker
) -> None:
    world.simulator.add_bot("42:a-new-token", "the_bot")
    await (await world.restarted()).add("42:a-new-token", None)

    assert not await revoked_tokens(fleet, ledger, broker).pause(BOT_ID, TOKEN)
    assert await ledger.paused_bots() == []


async def test_the_update_source_begins_again_when_another_process_finds_the_same_token_valid(
    world: World, fleet: Fleet, ledger: SqlLedger, broker: MemoryBroker
) -> None:
    restarted: list[int] = []
    fleet.when_changed(restarted.append)
    await revoked_tokens(fleet, ledger, broker).pause(BOT_ID, TOKEN)
    other = await world.restarted()
    other.when_token_stored(partial(resume_with_token, ledger, broker))
    before = list(restarted)

    await other.add(TOKEN, None)
    await fleet.reload([BOT_ID])

    assert (before, restarted) == ([], [BOT_ID])


async def test_the_update_source_begins_again_when_the_pause_ends_that_an_operator_had_set_before(
    fleet: Fleet, ledger: SqlLedger, broker: MemoryBroker
) -> None:
    """It had ended for good: the pause was the operator's, and stayed so."""
    restarted: list[int] = []
    fleet.when_changed(restarted.append)
    await ledger.pause(BOT_ID, paused=True, by=PausedBy.OPERATOR)
    await revoked_tokens(fleet, ledger, broker).pause(BOT_ID, TOKEN)
    before = list(restarted)

    await ledger.pause(BOT_ID, paused=False, by=PausedBy.OPERATOR)
    await fleet.reload([BOT_ID])

    assert (before, restarted) == ([], [BOT_ID])
