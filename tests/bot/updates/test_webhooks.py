"""When and how often webhooks are registered with Telegram."""

from __future__ import annotations

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramUnauthorizedError
from aiogram.methods import SetWebhook
from structlog.testing import capture_logs

from tempogram.bot.config.logging import conceal
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.updates.webhooks import GRACE_S
from tempogram.engine.model.errors import LedgerError
from tempogram.simulator import Fault
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import HERE, OTHER, World


class Crash(Exception):
    """The process is killed here."""


async def test_each_bots_webhook_has_a_secret_of_its_own(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot(OTHER, "other_bot")
    await fleet.add(OTHER, None)

    webhooks = world.webhooks(fleet)
    for bot_id in fleet.registry.bot_ids:
        await webhooks.set(bot_id)

    hooks = [world.hook(bot_id) for bot_id in (42, 43)]
    assert [hook and hook.url for hook in hooks] == [
        f"{HERE}/webhook/telegram/{TOKEN}",
        f"{HERE}/webhook/telegram/{OTHER}",
    ]
    secrets = [fleet.secrets.of(bot_id).secret for bot_id in (42, 43)]
    assert [hook and hook.secret_token for hook in hooks] == secrets
    assert all(secrets)
    assert len(set(secrets)) == 2


async def test_a_webhooks_secret_is_kept_over_restarts(world: World, fleet: Fleet) -> None:
    await world.webhooks(fleet).set(BOT_ID)
    first = fleet.webhook_secrets(BOT_ID)
    again = await world.restarted()

    await world.webhooks(again).set(BOT_ID)

    assert again.webhook_secrets(BOT_ID) == first


async def test_a_webhook_that_is_refused_is_set_again_until_telegram_takes_it(world: World, fleet: Fleet) -> None:
    world.simulator.order(Fault(kind="5xx", method="setWebhook", times=3))

    await world.webhooks(fleet).set(BOT_ID)

    assert world.hook(BOT_ID) is not None
    assert world.slept == [1.0, 0.01, 2.0, 4.0]  # and once what was left of the pace


async def test_a_webhook_that_is_refused_is_logged_once_with_telegrams_reason(
    world: World, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log had only the exception's name, at each try."""
    answers: list[Exception] = [TelegramBadRequest(SetWebhook(url=HERE), f"Bad Request: bad webhook {TOKEN}")] * 3

    async def refuse(*_: object, **__: object) -> bool:
        if answers:
            raise answers.pop()
        return True

    monkeypatch.setattr(Bot, "set_webhook", refuse)
    with capture_logs() as logs:
        await world.webhooks(fleet).set(BOT_ID)

    lines = [conceal(None, "", each) for each in logs]
    assert [(each["event"], each.get("reason")) for each in lines] == [
        ("webhook_not_changed", "Bad Request: bad webhook 42:…"),
        ("webhook_changed", None),
    ]


async def test_webhooks_that_get_no_answer_are_an_outage_and_not_a_line_for_each_try(
    world: World, fleet: Fleet
) -> None:
    world.simulator.order(Fault(kind="5xx", method="setWebhook", times=3))

    with capture_logs() as logs:
        await world.webhooks(fleet).set(BOT_ID)

    assert [each["event"] for each in logs] == ["condition_began", "condition_ended"]


@pytest.mark.parametrize("change", ["set", "unset"])
async def test_the_webhook_of_a_revoked_token_is_not_tried_again_and_its_bot_is_paused(
    world: World, fleet: Fleet, change: str
) -> None:
    if change == "unset":
        await world.webhooks(fleet).set(BOT_ID)
    world.simulator.order(Fault(kind="revoked", bot_id=BOT_ID))

    with capture_logs() as logs:
        await getattr(world.webhooks(fleet), change)(BOT_ID)

    assert world.paused == [BOT_ID]
    assert [(each["event"], each["reason"]) for each in logs] == [("webhook_not_changed", "Unauthorized")]


async def test_telegram_asking_us_to_wait_is_obeyed(world: World, fleet: Fleet) -> None:
    world.simulator.order(Fault(kind="429", method="setWebhook", retry_after_s=37, hold="none", times=1))

    await world.webhooks(fleet).set(BOT_ID)

    assert world.hook(BOT_ID) is not None
    assert world.slept == [37.0]


async def test_a_bots_webhook_is_changed_once_a_second_and_another_bots_meanwhile(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot(OTHER, "other_bot")
    await fleet.add(OTHER, None)
    webhooks = world.webhooks(fleet)
    await webhooks.set(BOT_ID)
    world.clock.advance(300)

    await webhooks.set(43)
    assert world.slept == []
    await webhooks.unset(BOT_ID)

    assert world.slept == [0.71]


async def test_a_restart_does_not_set_a_webhook_that_is_registered_as_wanted(world: World, fleet: Fleet) -> None:
    await world.webhooks(fleet).set(BOT_ID)
    again = await world.restarted()

    await world.webhooks(again).set(BOT_ID)

    assert (world.calls("setWebhook"), world.calls("getMe")) == (1, 1)


@pytest.mark.parametrize("changed", ["token", "public_url", "allowed_updates"])
async def test_a_webhook_is_set_again_when_something_about_it_has_changed(
    world: World, fleet: Fleet, changed: str
) -> None:
    await world.webhooks(fleet).set(BOT_ID)
    if changed == "token":
        world.simulator.add_bot("42:a-new-token", "the_bot")
        await fleet.add("42:a-new-token", None)
    webhooks = world.webhooks(
        fleet,
        public_url="http://127.0.0.1:2" if changed == "public_url" else HERE,
        allowed_updates=["message"] if changed == "allowed_updates" else [],
    )

    await webhooks.set(BOT_ID)

    assert world.calls("setWebhook") == 2


async def test_a_webhook_deleted_by_another_program_is_set_again(world: World, fleet: Fleet) -> None:
    await world.webhooks(fleet).set(BOT_ID)
    await fleet.registry.bot(BOT_ID).delete_webhook()
    again = await world.restarted()

    await world.webhooks(again).set(BOT_ID)

    assert world.hook(BOT_ID) is not None


async def test_the_old_secret_is_accepted_until_telegram_has_the_new_one_and_a_while_longer(
    world: World, fleet: Fleet
) -> None:
    webhooks = world.webhooks(fleet)
    await webhooks.set(BOT_ID)
    [old] = fleet.webhook_secrets(BOT_ID)

    await fleet.rotate_secret(BOT_ID)
    before_telling = fleet.webhook_secrets(BOT_ID)
    await webhooks.set(BOT_ID)
    registered, in_grace = world.hook(BOT_ID), fleet.webhook_secrets(BOT_ID)
    await webhooks.retire_secret(BOT_ID)

    [new] = fleet.webhook_secrets(BOT_ID)
    assert old != new
    assert before_telling == in_grace == [old, new]
    assert registered is not None
    assert registered.secret_token == new
    assert world.slept[-1] == GRACE_S


async def test_rotating_a_secret_twice_makes_one_new_secret(fleet: Fleet) -> None:
    await fleet.secrets.to_register(BOT_ID)

    await fleet.rotate_secret(BOT_ID)
    both = fleet.webhook_secrets(BOT_ID)
    await fleet.rotate_secret(BOT_ID)

    assert fleet.webhook_secrets(BOT_ID) == both


@pytest.mark.parametrize("crash_at", ["after it was written", "after Telegram took it", "after that was noted"])
async def test_every_delivery_is_accepted_after_a_crash_during_a_rotation(
    world: World, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, crash_at: str
) -> None:
    """Stored, registered, noted, forgotten: in another order, a crash in between makes us refuse deliveries."""
    webhooks = world.webhooks(fleet)
    await webhooks.set(BOT_ID)
    await fleet.rotate_secret(BOT_ID)
    if crash_at == "after Telegram took it":
        monkeypatch.setattr(fleet.secrets, "note_registered", crash)
    if crash_at == "after it was written":
        monkeypatch.setattr(Bot, "set_webhook", crash)
    if crash_at != "after that was noted":
        with pytest.raises(Crash):
            await webhooks.set(BOT_ID)
    else:
        await webhooks.set(BOT_ID)
    monkeypatch.undo()

    again = await world.restarted()
    sent_meanwhile, known = world.hook(BOT_ID), again.webhook_secrets(BOT_ID)
    await world.webhooks(again).set(BOT_ID)
    await world.webhooks(again).retire_secret(BOT_ID)

    sent_at_last = world.hook(BOT_ID)
    assert sent_meanwhile is not None
    assert sent_at_last is not None
    assert len(known) == 2
    assert sent_meanwhile.secret_token in known
    assert again.webhook_secrets(BOT_ID) == [sent_at_last.secret_token] == [known[1]]
    assert (await world.bots.webhooks())[BOT_ID].next_secret is None


async def crash(*_: object, **__: object) -> None:
    raise Crash


async def test_the_owners_own_webhook_is_left_alone(world: World, fleet: Fleet) -> None:
    await fleet.registry.bot(BOT_ID).set_webhook("http://127.0.0.1:3/own")

    await world.webhooks(fleet).unset(BOT_ID)

    assert world.hook(BOT_ID) is not None


async def test_deleting_a_webhook_is_retried_until_telegram_takes_it(world: World, fleet: Fleet) -> None:
    await world.webhooks(fleet).set(BOT_ID)
    world.simulator.order(Fault(kind="5xx", method="deleteWebhook", times=2))

    await world.webhooks(fleet).unset(BOT_ID)

    assert world.hook(BOT_ID) is None
    assert (await world.bots.webhooks())[BOT_ID].fingerprint is None


async def test_the_webhook_of_a_revoked_token_is_not_deleted(world: World, fleet: Fleet) -> None:
    world.simulator.order(Fault(kind="revoked", method="deleteWebhook"))

    await world.webhooks(fleet).delete(fleet.registry.bot(BOT_ID))

    assert world.calls("deleteWebhook") == 1


async def test_a_revoked_token_is_noted_once_the_database_is_back(
    world: World, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot's source ended for good, and the bot was not paused."""
    away, pause = [LedgerError("away")] * 3, world.pause_revoked

    async def pause_later(bot_id: int, token: str | None) -> bool:
        if away:
            raise away.pop()
        return await pause(bot_id, token)

    monkeypatch.setattr(world, "pause_revoked", pause_later)
    world.simulator.order(Fault(kind="revoked", bot_id=BOT_ID))

    assert not await world.webhooks(fleet).set(BOT_ID)
    assert (away, world.paused) == ([], [BOT_ID])


async def test_a_token_that_is_replaced_during_a_call_is_not_taken_for_the_refused_one(
    world: World, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    async def refuse(*_: object, **__: object) -> bool:
        if asked:
            return True
        world.simulator.add_bot("42:a-new-token", "the_bot")
        await fleet.add("42:a-new-token", None)
        raise TelegramUnauthorizedError(SetWebhook(url=HERE), "Unauthorized")

    async def pause(_: int, token: str | None) -> bool:
        asked.append(token)
        return fleet.registry.token_of(BOT_ID) == token

    monkeypatch.setattr(Bot, "set_webhook", refuse)
    monkeypatch.setattr(world, "pause_revoked", pause)

    assert await world.webhooks(fleet).set(BOT_ID)
    assert asked == [TOKEN]
