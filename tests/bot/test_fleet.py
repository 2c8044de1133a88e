"""The bots that run here: asked of a simulated Telegram, kept in a real database."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from api.ports import Refusal, TelegramUnreachable, UnknownToken
from bot import behaviours
from bot.feeds import Feeds
from bot.fleet import Fleet
from bot.poller import Poller
from bot.simulator import Fault, Simulator, SimulatorSettings
from bot.webhooks import Webhooks
from storage.bots import Bots
from storage.database import Database
from storage.keys import Seal
from tests.bot.fakes import BOT_ID, TOKEN
from tests.fakes import Clock

OTHER = "43:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n"
ECHO: dict[str, Any] = {"echo": {}}


@dataclass
class World:
    simulator: Simulator
    bots: Bots
    new_fleet: Callable[[], Fleet]


@pytest.fixture
async def world(database: Database, clock: Clock) -> AsyncIterator[World]:
    simulator = Simulator(SimulatorSettings(accept_any_token=False, any_webhook_url=True))
    simulator.add_bot(TOKEN, "the_bot")
    bots = Bots(database, Seal("a-key-of-at-least-32-characters!"))
    async with simulator.serve() as served:
        direct = AiohttpSession(api=TelegramAPIServer.from_base(served.url))

        def new_fleet() -> Fleet:
            return Fleet(
                bots=bots,
                session=direct,
                check_behaviours=behaviours.check,
                default_behaviours=ECHO,
                clock=clock,
            )

        yield World(simulator, bots, new_fleet)
        await direct.close()


@pytest.fixture
async def fleet(world: World) -> Fleet:
    fleet = world.new_fleet()
    await fleet.add(TOKEN, None)
    return fleet


async def test_a_bot_that_was_added_is_known_by_exactly_its_token(fleet: Fleet) -> None:
    assert fleet.authenticate(TOKEN) == BOT_ID
    assert fleet.registered(BOT_ID).username == "the_bot"
    assert fleet.bot(BOT_ID).token == TOKEN


async def test_any_other_token_is_nobodys(fleet: Fleet) -> None:
    near = [OTHER, TOKEN[:-1], f"{TOKEN}x", f"{BOT_ID}:wrong", f"0{TOKEN}", f" {TOKEN}", f"{BOT_ID}:"]
    nonsense = ["42", "", ":", "42:é", "9" * 5_000 + ":abcdef"]

    assert {fleet.authenticate(token) for token in (*near, *nonsense)} == {None}


async def test_tokens_are_compared_in_constant_time_also_that_of_a_bot_we_do_not_have(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    digests = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return digests(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    for token in (TOKEN, OTHER, "nonsense"):
        fleet.authenticate(token)

    assert compared == [TOKEN.encode(), OTHER.encode(), b"nonsense"]


async def test_bots_are_there_again_after_a_restart_with_their_secrets(world: World, fleet: Fleet) -> None:
    await fleet.set_webhook_secret(BOT_ID, "s3cret")

    again = world.new_fleet()
    await again.load()

    assert again.authenticate(TOKEN) == BOT_ID
    assert again.webhook_secret(BOT_ID) == "s3cret"
    assert again.registered(BOT_ID).behaviours == ECHO


async def test_what_is_no_token_is_refused_without_asking(world: World) -> None:
    for text in ("", "nonsense", "42", "42:", ":abc", "42:with space", "42:ü", "x42:abc"):
        with pytest.raises(Refusal, match="this is no bot token; one looks like 123456:ABC-DEF"):
            await world.new_fleet().add(text, None)

    assert world.simulator.report().calls == 0


async def test_a_token_that_telegram_does_not_know_is_refused_by_its_number_only(world: World) -> None:
    with pytest.raises(UnknownToken) as refused:
        await world.new_fleet().add(OTHER, None)

    assert str(refused.value) == "Telegram does not know the token of bot 43; @BotFather has the valid one"


async def test_a_telegram_that_cannot_be_asked_is_told_apart(world: World) -> None:
    world.simulator.order(Fault(kind="5xx", method="*"))

    with pytest.raises(TelegramUnreachable, match="Telegram could not be asked about bot 42"):
        await world.new_fleet().add(TOKEN, None)


async def test_a_behaviour_that_is_none_is_refused_before_anybody_is_asked(world: World) -> None:
    with pytest.raises(Refusal, match="'ecko' is no behaviour"):
        await world.new_fleet().add(TOKEN, {"ecko": {}})

    assert world.simulator.report().calls == 0


async def test_adding_it_again_replaces_its_token_and_keeps_its_behaviours(world: World, fleet: Fleet) -> None:
    await fleet.change(BOT_ID, behaviours={})
    world.simulator.add_bot("42:a-new-token", "the_bot")

    await fleet.add("42:a-new-token", None)

    assert fleet.authenticate("42:a-new-token") == BOT_ID
    assert fleet.authenticate(TOKEN) is None
    assert fleet.registered(BOT_ID).behaviours == {}
    assert fleet.bot_ids == [BOT_ID]


async def test_adding_it_again_with_behaviours_replaces_these(world: World, fleet: Fleet) -> None:
    await fleet.add(TOKEN, {"commands": {"start": "hi"}})

    kept = await world.bots.get(BOT_ID)
    assert fleet.registered(BOT_ID).behaviours == {"commands": {"start": "hi"}}
    assert kept is not None
    assert kept.behaviours == {"commands": {"start": "hi"}}


async def test_a_bot_of_the_environment_runs_though_nobody_can_be_asked(world: World) -> None:
    fleet = world.new_fleet()

    bot_id = await fleet.add_unasked(OTHER)

    assert fleet.authenticate(OTHER) == bot_id == 43
    assert fleet.registered(43).behaviours == ECHO


async def test_a_users_own_bot_is_learned_once_and_says_nothing_by_itself(world: World, fleet: Fleet) -> None:
    await fleet.learn(OTHER)
    await fleet.learn(OTHER)

    assert fleet.token_of(43) == OTHER
    assert fleet.registered(43).behaviours == {}
    assert world.simulator.report().calls == 1  # for the bot that was added


async def test_learning_a_bot_that_is_known_changes_nothing(fleet: Fleet) -> None:
    await fleet.learn("42:another-token")

    assert fleet.token_of(BOT_ID) == TOKEN
    assert fleet.registered(BOT_ID).behaviours == ECHO


async def test_webhooks_are_set_with_a_secret_of_each_bots_own(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot(OTHER, "other_bot")
    await fleet.add(OTHER, None)

    webhooks = Webhooks(fleet=fleet, public_url="http://127.0.0.1:1")
    for bot_id in fleet.bot_ids:
        await webhooks.set(bot_id)

    hooks = [world.simulator.telegram.world.bots[bot_id].webhook for bot_id in (42, 43)]
    assert [hook and hook.url for hook in hooks] == [
        f"http://127.0.0.1:1/webhook/telegram/{TOKEN}",
        f"http://127.0.0.1:1/webhook/telegram/{OTHER}",
    ]
    secrets = [fleet.webhook_secret(bot_id) for bot_id in (42, 43)]
    assert [hook and hook.secret_token for hook in hooks] == secrets
    assert all(secrets)
    assert len(set(secrets)) == 2


async def test_a_webhooks_secret_is_kept_over_restarts(world: World, fleet: Fleet) -> None:
    await Webhooks(fleet=fleet, public_url="http://127.0.0.1:1").set(BOT_ID)
    first = fleet.webhook_secret(BOT_ID)
    again = world.new_fleet()
    await again.load()

    await Webhooks(fleet=again, public_url="http://127.0.0.1:1").set(BOT_ID)

    assert again.webhook_secret(BOT_ID) == first


async def test_a_webhook_that_is_refused_is_set_again_until_telegram_takes_it(world: World, fleet: Fleet) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    world.simulator.add_bot(OTHER, "other_bot")
    await fleet.add(OTHER, None)
    world.simulator.order(Fault(kind="5xx", method="setWebhook", bot_id=BOT_ID, times=3))
    webhooks = Webhooks(fleet=fleet, public_url="http://127.0.0.1:1", sleep=sleep)
    feeds = Feeds(fleet=fleet, webhooks=webhooks, poller_for=no_poller)

    feeds.begin()
    await feeds.settled()
    await feeds.end()

    bots = world.simulator.telegram.world.bots
    assert bots[BOT_ID].webhook is not None
    assert bots[43].webhook is not None
    assert slept[:3] == [1.0, 2.0, 4.0]


async def test_a_bot_that_is_added_later_gets_its_webhook_at_once(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot(OTHER, "other_bot")
    feeds = Feeds(fleet=fleet, webhooks=Webhooks(fleet=fleet, public_url="http://127.0.0.1:1"), poller_for=no_poller)
    feeds.begin()

    await fleet.add(OTHER, None)
    await feeds.settled()
    await feeds.end()

    assert world.simulator.telegram.world.bots[43].webhook is not None


def no_poller(bot_id: int) -> Poller:
    raise AssertionError(f"bot {bot_id} has a webhook")


async def test_whoever_wants_to_know_is_told_of_each_token_that_telegram_knows(world: World) -> None:
    fleet, proved = world.new_fleet(), []

    async def prove(bot_id: int) -> None:
        proved.append((bot_id, fleet.token_of(bot_id)))

    fleet.when_proved(prove)
    with pytest.raises(UnknownToken):
        await fleet.add(OTHER, None)
    await fleet.add_unasked(OTHER)
    await fleet.add(TOKEN, None)

    assert proved == [(BOT_ID, TOKEN)]
