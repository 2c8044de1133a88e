"""Every bot has the update source that is configured, and a switch loses no update."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.updates.poller import Poller
from tempogram.bot.updates.source_health import SourceHealth
from tempogram.bot.updates.sources import UpdateSources
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.resilience.conditions import Conditions
from tempogram.simulator import Fault
from tempogram.storage.bots import Source
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import OTHER, World
from tests.engine.desk import soon, turns


@dataclass
class Inbox:
    """An intake that notes what it is given, with the token that the bot has then."""

    got: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def receive(self, bot_id: int, body: bytes) -> None:
        self.got.put_nowait(f"{bot_id}: {json.loads(body)['message']['text']}")


@dataclass
class StartedSources:
    """Update sources that are started."""

    world: World
    fleet: Fleet
    update_sources: UpdateSources
    inbox: Inbox

    async def heard(self) -> str:
        async with asyncio.timeout(5):
            return await self.inbox.got.get()

    def say(self, text: str, bot_id: int = BOT_ID) -> None:
        self.world.simulator.add_user("Anna").says(self.world.simulator.telegram.world.bots[bot_id], text)


@pytest.fixture
def world(world: World) -> World:
    world.simulator.add_bot(OTHER, "other_bot")
    return world


@pytest.fixture
async def started(world: World) -> AsyncIterator[StartedSources]:
    fleet, inbox = world.new_fleet(), Inbox()
    await fleet.add(TOKEN, None)
    conditions = Conditions(world.clock)
    async with aiohttp.ClientSession() as session:
        api_url = str(fleet.registry.bot(BOT_ID).session.api.base).partition("/bot{")[0]

        def poller_for(bot_id: int) -> Poller:
            return Poller(
                bot_id=bot_id,
                session=session,
                api_url=api_url,
                token_of=fleet.registry.token_of,
                pause_revoked=world.pause_revoked,
                intake=inbox,
                health=SourceHealth(conditions),
                conditions=conditions,
                clock=world.clock,
            )

        update_sources = UpdateSources(fleet=fleet, webhooks=world.webhooks(fleet), poller_for=poller_for)
        update_sources.start()
        await update_sources.wait_ready()
        yield StartedSources(world, fleet, update_sources, inbox)
        await update_sources.stop()


async def test_a_refused_webhook_of_one_bot_delays_no_other_bot(started: StartedSources) -> None:
    started.world.simulator.order(Fault(kind="5xx", method="setWebhook", bot_id=BOT_ID, times=3))

    await started.fleet.rotate_secret(BOT_ID)
    await started.fleet.add(OTHER, None)
    await started.update_sources.wait_ready()

    hooks = started.world.hook(BOT_ID), started.world.hook(43)
    assert [hook and hook.secret_token for hook in hooks] == [
        started.fleet.webhook_secrets(each)[-1] for each in (42, 43)
    ]


@pytest.mark.parametrize("source", [Source.WEBHOOK, Source.POLLING])
async def test_a_bot_added_at_run_time_gets_its_updates_at_once(started: StartedSources, source: Source) -> None:
    await started.fleet.add(OTHER, None, updates=source)
    await started.update_sources.wait_ready()
    started.say("hello", bot_id=43)

    if source is Source.POLLING:
        assert await started.heard() == "43: hello"
    assert (started.world.hook(43) is not None) is (source is Source.WEBHOOK)


async def test_a_bot_gets_its_updates_though_the_database_fails_twice_while_it_is_verified(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, add, refusals = world.new_fleet(), world.bots.add, [LedgerError("away"), LedgerError("away again")]
    await fleet.add_unverified(TOKEN)
    proved = []

    async def write(*of: Any, **names: Any) -> None:
        if len(refusals) == 2:
            raise refusals.pop()
        await add(*of, **names)

    async def prove(bot_id: int) -> None:
        if refusals:
            raise refusals.pop()
        proved.append(bot_id)

    monkeypatch.setattr(world.bots, "add", write)
    fleet.when_token_stored(prove)
    async with feeding(world, fleet):
        pass

    assert world.hook(BOT_ID) is not None
    assert proved == [BOT_ID]


async def test_a_failed_update_source_is_logged(world: World) -> None:
    fleet = world.new_fleet(Source.POLLING)
    await fleet.add(TOKEN, None)

    with capture_logs() as logs:
        async with feeding(world, fleet):
            await turns()

    assert [(each["event"], each["bot_id"]) for each in logs] == [("update_source_failed", BOT_ID)]


@asynccontextmanager
async def feeding(world: World, fleet: Fleet) -> AsyncIterator[None]:
    """Start update sources without a poller."""
    pollers: dict[int, Poller] = {}
    update_sources = UpdateSources(fleet=fleet, webhooks=world.webhooks(fleet), poller_for=pollers.__getitem__)
    update_sources.start()
    await update_sources.wait_ready()
    yield
    await update_sources.stop()


async def test_no_update_is_lost_by_a_switch_to_polling(started: StartedSources) -> None:
    started.say("before")  # no server is at the webhook's address, so it waits at Telegram

    await started.fleet.change(BOT_ID, updates=Source.POLLING)
    first = await started.heard()
    started.say("after")

    assert (first, await started.heard()) == ("42: before", "42: after")
    assert started.world.hook(BOT_ID) is None


async def test_a_switch_back_to_the_webhook_ends_the_polling(started: StartedSources) -> None:
    await started.fleet.change(BOT_ID, updates=Source.POLLING)
    started.say("polled")
    await started.heard()

    await started.fleet.change(BOT_ID, updates=Source.WEBHOOK)
    await started.update_sources.wait_ready()
    polls = started.world.calls("getUpdates")
    started.say("delivered")
    await asyncio.sleep(0.05)

    assert started.world.hook(BOT_ID) is not None
    assert started.world.calls("getUpdates") == polls
    assert started.inbox.got.empty()


async def test_a_bot_with_source_none_has_neither_webhook_nor_poller(started: StartedSources) -> None:
    await started.fleet.change(BOT_ID, updates=Source.NONE)
    await started.update_sources.wait_ready()

    assert started.world.hook(BOT_ID) is None
    assert started.world.calls("getUpdates") == 0


async def test_a_bot_with_a_new_token_polls_with_it_at_once(started: StartedSources) -> None:
    await started.fleet.change(BOT_ID, updates=Source.POLLING)
    started.say("old")
    await started.heard()
    started.world.simulator.add_bot("42:a-new-token", "the_bot")

    await started.fleet.add("42:a-new-token", None)
    started.say("new")

    assert await started.heard() == "42: new"


async def test_a_removed_bot_is_no_longer_polled(started: StartedSources) -> None:
    await started.fleet.change(BOT_ID, updates=Source.POLLING)
    started.say("one")
    await started.heard()

    await started.fleet.remove(BOT_ID, keep_messages=False)
    await started.update_sources.wait_ready()
    started.say("two")
    await asyncio.sleep(0.05)

    assert started.inbox.got.empty()


async def test_the_webhook_of_a_removed_bot_is_deleted_though_telegram_fails_at_first(started: StartedSources) -> None:
    started.world.simulator.order(Fault(kind="5xx", method="deleteWebhook", times=2))

    await started.fleet.remove(BOT_ID, keep_messages=False)
    await started.update_sources.wait_ready()

    assert started.world.hook(BOT_ID) is None


async def test_the_owners_webhook_of_a_removed_bot_is_left_alone(started: StartedSources) -> None:
    await started.fleet.change(BOT_ID, updates=Source.NONE)
    await started.update_sources.wait_ready()
    await started.fleet.registry.bot(BOT_ID).set_webhook("http://127.0.0.1:3/own")

    await started.fleet.remove(BOT_ID, keep_messages=False)
    await started.update_sources.wait_ready()

    assert started.world.hook(BOT_ID) is not None


async def test_a_cancelled_poller_finishes_the_update_it_is_receiving(started: StartedSources) -> None:
    """An update stored and not handled would wait for the next start."""
    storing, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def receive(bot_id: int, body: bytes) -> None:
        storing.set()
        await go_on.wait()
        done.set()

    started.inbox.receive = receive  # type: ignore[method-assign]
    await started.fleet.change(BOT_ID, updates=Source.POLLING)
    started.say("in hand")
    await soon(storing)

    await started.fleet.change(BOT_ID, updates=Source.NONE)
    await asyncio.sleep(0)
    go_on.set()
    await started.update_sources.wait_ready()

    assert done.is_set()
