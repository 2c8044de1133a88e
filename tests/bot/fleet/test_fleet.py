"""The bots that run here: asked of a simulated Telegram, kept in a real database."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable

import pytest
from aiogram import Router
from structlog.testing import capture_logs

from tempogram.api.core.ports import Refusal, TelegramUnreachable, UnknownToken
from tempogram.bot.behaviours.behaviour import Behaviour
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.fleet.fleet import SILENT_MS, Fleet
from tempogram.simulator import Fault
from tempogram.storage.bots import Source
from tempogram.storage.database.database import Database
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import ECHO, OTHER, World
from tests.bot.talk import behaviour


async def test_an_added_bot_authenticates_by_exactly_its_token(fleet: Fleet) -> None:
    assert fleet.authenticate(TOKEN) == BOT_ID
    assert fleet.registry.registered(BOT_ID).username == "the_bot"
    assert fleet.registry.bot(BOT_ID).token == TOKEN


async def test_any_other_token_authenticates_no_bot(fleet: Fleet) -> None:
    near = [OTHER, TOKEN[:-1], f"{TOKEN}x", f"{BOT_ID}:wrong", f"0{TOKEN}", f" {TOKEN}", f"{BOT_ID}:"]
    nonsense = ["42", "", ":", "42:é", "9" * 5_000 + ":abcdef"]

    assert {fleet.authenticate(token) for token in (*near, *nonsense)} == {None}


async def test_tokens_are_compared_in_constant_time_also_for_an_unknown_bot(
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


async def test_bots_and_their_secrets_survive_a_restart(world: World, fleet: Fleet) -> None:
    secret = await fleet.secrets.to_register(BOT_ID)

    again = world.new_fleet()
    await again.load()

    assert again.authenticate(TOKEN) == BOT_ID
    assert again.webhook_secrets(BOT_ID) == [secret]
    assert again.registry.registered(BOT_ID).behaviours == ECHO


async def test_a_text_that_is_not_a_token_is_refused_without_a_call(world: World) -> None:
    for text in ("", "nonsense", "42", "42:", ":abc", "42:with space", "42:ü", "x42:abc"):
        with pytest.raises(Refusal, match="this is not a bot token; one looks like 123456:ABC-DEF"):
            await world.new_fleet().add(text, None)

    assert world.simulator.report().calls == 0


async def test_a_token_unknown_to_telegram_is_refused_and_only_its_bot_id_is_quoted(world: World) -> None:
    with pytest.raises(UnknownToken) as refused:
        await world.new_fleet().add(OTHER, None)

    assert str(refused.value) == "Telegram does not know the token of bot 43; @BotFather has the valid one"


async def test_an_unreachable_telegram_is_an_error_of_its_own(world: World) -> None:
    world.simulator.order(Fault(kind="5xx", method="*"))

    with pytest.raises(TelegramUnreachable, match="Telegram could not be asked about bot 42"):
        await world.new_fleet().add(TOKEN, None)


async def test_an_unknown_behaviour_is_refused_before_telegram_is_asked(world: World) -> None:
    with pytest.raises(Refusal, match="'ecko' is not a behaviour"):
        await world.new_fleet().add(TOKEN, {"ecko": {}})

    assert world.simulator.report().calls == 0


async def test_adding_a_bot_again_replaces_its_token_and_keeps_its_behaviours(world: World, fleet: Fleet) -> None:
    await fleet.change(BOT_ID, behaviours={})
    world.simulator.add_bot("42:a-new-token", "the_bot")

    await fleet.add("42:a-new-token", None)

    assert fleet.authenticate("42:a-new-token") == BOT_ID
    assert fleet.authenticate(TOKEN) is None
    assert fleet.registry.registered(BOT_ID).behaviours == {}
    assert fleet.registry.bot_ids == [BOT_ID]


async def test_adding_a_bot_again_with_behaviours_replaces_them(world: World, fleet: Fleet) -> None:
    await fleet.add(TOKEN, {"commands": {"start": "hi"}})

    kept = await world.bots.get(BOT_ID)
    assert fleet.registry.registered(BOT_ID).behaviours == {"commands": {"start": "hi"}}
    assert kept is not None
    assert kept.behaviours == {"commands": {"start": "hi"}}


async def test_a_bot_of_the_environment_runs_while_telegram_is_unreachable(world: World) -> None:
    fleet = world.new_fleet()

    bot_id = await fleet.add_unverified(OTHER)

    assert fleet.authenticate(OTHER) == bot_id == 43
    assert fleet.registry.registered(43).behaviours == ECHO


async def test_an_unverified_bot_is_verified_later(world: World) -> None:
    fleet = world.new_fleet()
    await fleet.add_unverified(TOKEN)
    assert not fleet.registry.is_verified(TOKEN)

    await fleet.verify(BOT_ID)
    await fleet.verify(BOT_ID)

    assert fleet.registry.is_verified(TOKEN)
    assert (fleet.registry.registered(BOT_ID).username, fleet.registry.registered(BOT_ID).behaviours) == (
        "the_bot",
        ECHO,
    )
    assert world.calls("getMe") == 1


async def test_a_removed_bot_and_its_secrets_are_forgotten(world: World, fleet: Fleet) -> None:
    await fleet.secrets.to_register(BOT_ID)

    assert await fleet.remove(BOT_ID, keep_messages=False)

    assert not await fleet.remove(BOT_ID, keep_messages=False)
    assert (fleet.authenticate(TOKEN), fleet.registry.has(BOT_ID), fleet.registry.bot_ids) == (None, False, [])
    assert fleet.webhook_secrets(BOT_ID) == []
    assert await world.bots.tokens() == {}


async def test_the_last_calls_of_a_removed_bot_keep_its_token_until_they_end(fleet: Fleet) -> None:
    await fleet.remove(BOT_ID, keep_messages=False)
    during = fleet.registry.token_of(BOT_ID)

    fleet.registry.forget(BOT_ID)

    assert (during, fleet.registry.token_of(BOT_ID)) == (TOKEN, None)


@pytest.mark.parametrize("restart", [False, True])
async def test_a_handler_that_still_runs_does_not_add_a_removed_bot_again(
    world: World, fleet: Fleet, *, restart: bool
) -> None:
    await fleet.remove(BOT_ID, keep_messages=False)
    later = await world.restarted() if restart else fleet

    with pytest.raises(Refusal, match="bot 42 was removed; add it again with POST /bots"):
        await later.learn(TOKEN)

    assert later.authenticate(TOKEN) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda fleet: fleet.change(BOT_ID, behaviours={}, updates=Source.POLLING),
        lambda fleet: fleet.rotate_secret(BOT_ID),
        lambda fleet: fleet.secrets.to_register(BOT_ID),
    ],
    ids=["its behaviours and updates", "its secret", "its first secret"],
)
async def test_a_bot_removed_during_a_change_stays_removed(
    world: World, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, change: Callable[[Fleet], Awaitable[object]]
) -> None:
    other = await world.restarted()

    def after_the_removal(name: str) -> None:
        write = getattr(world.bots, name)

        async def write_after_the_removal(bot_id: int, **values: object) -> object:
            monkeypatch.undo()
            await other.remove(bot_id, keep_messages=False)
            return await write(bot_id, **values)

        monkeypatch.setattr(world.bots, name, write_after_the_removal)

    after_the_removal("_change")
    after_the_removal("_change_secrets")
    await change(fleet)
    await fleet.reload([BOT_ID])

    assert await world.bots.get(BOT_ID) is None
    assert not fleet.registry.has(BOT_ID)
    assert fleet.webhook_secrets(BOT_ID) == []


async def test_a_removed_bot_that_is_added_again_starts_afresh(world: World, fleet: Fleet) -> None:
    await fleet.change(BOT_ID, behaviours={}, updates=Source.NONE)
    await fleet.remove(BOT_ID, keep_messages=True)

    await fleet.add(TOKEN, None)

    registered = fleet.registry.registered(BOT_ID)
    assert (registered.behaviours, registered.updates) == (ECHO, None)
    assert fleet.authenticate(TOKEN) == BOT_ID
    assert await world.bots.removed() == {}


async def test_the_update_source_follows_the_settings_unless_a_bot_has_its_own(world: World, fleet: Fleet) -> None:
    polled = await world.restarted(Source.POLLING)
    by_default = (
        fleet.source_of(fleet.registry.registered(BOT_ID)),
        polled.source_of(polled.registry.registered(BOT_ID)),
    )

    await fleet.change(BOT_ID, updates=Source.POLLING)

    again = await world.restarted()
    assert by_default == (Source.WEBHOOK, Source.POLLING)
    assert again.source_of(again.registry.registered(BOT_ID)) is Source.POLLING


async def test_a_webhook_without_a_public_url_is_refused(world: World) -> None:
    fleet = world.new_fleet(Source.POLLING)

    with pytest.raises(Refusal, match=r"need PUBLIC_URL, .*; set it and restart, or use .polling"):
        await fleet.add(TOKEN, None, updates=Source.WEBHOOK)

    assert world.simulator.report().calls == 0


async def test_a_bot_with_a_webhook_is_polled_once_the_public_url_is_unset(world: World, fleet: Fleet) -> None:
    await fleet.change(BOT_ID, updates=Source.WEBHOOK)

    polled = await world.restarted(Source.POLLING)

    assert polled.source_of(polled.registry.registered(BOT_ID)) is Source.POLLING


async def test_a_users_own_bot_is_learned_once_and_has_no_behaviours(world: World, fleet: Fleet) -> None:
    await fleet.learn(OTHER)
    await fleet.learn(OTHER)

    assert fleet.registry.token_of(43) == OTHER
    assert fleet.registry.registered(43).behaviours == {}
    assert world.simulator.report().calls == 1  # for the bot that was added


async def test_a_made_up_token_of_a_known_bot_is_refused_and_asked_about_once(world: World, fleet: Fleet) -> None:
    before = world.simulator.report().calls

    for _ in range(3):
        with pytest.raises(Refusal, match="Telegram does not know the token of bot 42"):
            await fleet.learn("42:another-token")

    assert fleet.registry.token_of(BOT_ID) == TOKEN
    assert fleet.registry.registered(BOT_ID).behaviours == ECHO
    assert world.simulator.report().calls == before + 1


async def test_another_token_that_telegram_confirms_takes_the_place_of_the_old_one(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot("42:new-token")

    await asyncio.gather(*(fleet.learn("42:new-token") for _ in range(3)))

    assert fleet.registry.token_of(BOT_ID) == "42:new-token"
    assert fleet.registry.registered(BOT_ID).behaviours == ECHO
    assert (await world.restarted()).registry.token_of(BOT_ID) == "42:new-token"


async def test_a_handler_still_sends_by_the_bot_whose_token_its_owner_has_replaced(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot("42:new-token")
    await fleet.add("42:new-token", None)

    await fleet.learn(TOKEN)

    assert fleet.registry.token_of(BOT_ID) == "42:new-token"


async def test_a_revoked_token_that_a_program_itself_has_replaced_is_as_a_made_up_one(
    world: World, fleet: Fleet
) -> None:
    world.simulator.add_bot("42:new-token")
    await fleet.learn("42:new-token")

    with pytest.raises(Refusal, match="Telegram does not know the token of bot 42"):
        await fleet.learn(TOKEN)


async def test_a_token_of_which_telegram_says_nothing_is_asked_about_again_soon(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot("42:new-token")
    world.simulator.order(Fault(kind="5xx", method="getMe", times=1))

    for _ in range(2):
        with pytest.raises(Refusal, match="Telegram has not confirmed another token of bot 42 yet"):
            await fleet.learn("42:new-token")
    world.clock.advance(SILENT_MS)
    await fleet.learn("42:new-token")

    assert fleet.registry.token_of(BOT_ID) == "42:new-token"


async def test_a_bot_added_without_behaviours_has_none_if_there_are_several_modules(world: World) -> None:
    fleet = world.new_fleet(behaviours=Behaviours([shop(), shop(name="desk")]))

    await fleet.add(TOKEN, None)

    assert fleet.registry.registered(BOT_ID).behaviours == {}


async def test_a_bot_added_without_the_settings_that_its_only_module_needs_is_refused(world: World) -> None:
    def check(config: dict[str, object]) -> None:
        if not config:
            raise ValueError("there is no currency")

    fleet = world.new_fleet(behaviours=Behaviours([shop(check=check)]))

    with pytest.raises(Refusal, match="the settings of shop are refused: there is no currency"):
        await fleet.add(TOKEN, None)
    await fleet.add(TOKEN, {"shop": {"currency": "EUR"}})
    await fleet.add(TOKEN, None)  # it keeps its own

    assert fleet.registry.registered(BOT_ID).behaviours == {"shop": {"currency": "EUR"}}


async def test_a_bot_that_is_read_again_unchanged_is_announced_to_no_watcher(fleet: Fleet) -> None:
    changed: list[int] = []
    fleet.registry.watch(changed.append)

    await fleet.load()
    unchanged = list(changed)
    await fleet.change(BOT_ID, behaviours={})

    assert (unchanged, changed) == ([], [BOT_ID])


def shop(name: str = "shop", **functions: Callable[..., None]) -> Behaviour:
    return behaviour(Router(), name=name, **functions)


async def test_a_bot_has_its_own_defaults_over_those_of_the_settings(world: World) -> None:
    of_settings = {"parse_mode": "HTML", "protect_content": True}
    fleet = world.new_fleet(defaults=of_settings)

    await fleet.add(TOKEN, None, defaults={"protect_content": False, "disable_notification": True})

    bot = fleet.registry.bot(BOT_ID)
    assert fleet.text_params(BOT_ID) == {
        "parse_mode": "HTML",
        "protect_content": False,
        "disable_notification": True,
    }
    assert (bot.default.parse_mode, bot.default.protect_content) == ("HTML", False)


async def test_changed_defaults_apply_at_once_to_a_bot_that_is_held(world: World, fleet: Fleet) -> None:
    bot, other = fleet.registry.bot(BOT_ID), await world.restarted()

    await fleet.change(BOT_ID, defaults={"link_preview_is_disabled": True})
    await other.reload([BOT_ID])

    assert bot.default.link_preview_is_disabled
    assert fleet.text_params(BOT_ID)["link_preview_options"] == {"is_disabled": True}
    assert other.registry.registered(BOT_ID).defaults == {"link_preview_is_disabled": True}


async def test_a_bot_that_runs_elsewhere_has_no_defaults_here_yet(fleet: Fleet) -> None:
    assert fleet.text_params(44) == {}


async def test_a_bot_gets_updates_unless_its_source_is_none(fleet: Fleet) -> None:
    await fleet.learn(OTHER)  # a user's own
    heard = fleet.registry.gets_updates(BOT_ID), fleet.registry.gets_updates(43), fleet.registry.gets_updates(44)

    await fleet.change(BOT_ID, updates=Source.NONE)

    assert heard == (True, False, False)
    assert not fleet.registry.gets_updates(BOT_ID)


async def test_a_listener_is_notified_of_each_bot_that_is_new_or_verified(
    world: World,
) -> None:
    fleet, proved = world.new_fleet(), []

    async def prove(bot_id: int) -> None:
        proved.append((bot_id, fleet.registry.token_of(bot_id)))

    fleet.when_token_stored(prove)
    with pytest.raises(UnknownToken):
        await fleet.add(OTHER, None)
    await fleet.add_unverified(OTHER)
    await fleet.add(TOKEN, None)

    await fleet.add_unverified(TOKEN)

    assert proved == [(43, OTHER), (BOT_ID, TOKEN)]


async def test_a_users_own_bot_gives_an_unreadable_one_its_token_only_if_telegram_confirms_it(
    world: World, fleet: Fleet, database: Database
) -> None:
    await database.write_alone(lambda connection: connection.exec_driver_sql("UPDATE bots SET sealed_token = x'00'"))
    again = world.new_fleet()
    await again.load()
    assert (again.registry.bot_ids, set(again.registry.unreadable)) == ([], {BOT_ID})

    with pytest.raises(Refusal):
        await again.learn(f"{BOT_ID}:not-its-token")
    assert (await world.bots.tokens()) == {BOT_ID: None}
    await again.learn(TOKEN)

    assert (again.registry.bot_ids, set(again.registry.unreadable)) == ([BOT_ID], set())
    assert again.registry.registered(BOT_ID).behaviours == ECHO


async def test_a_bot_that_runs_goes_on_with_its_token_when_the_stored_one_can_no_longer_be_read(
    fleet: Fleet, database: Database
) -> None:
    await database.write_alone(lambda connection: connection.exec_driver_sql("UPDATE bots SET sealed_token = x'00'"))

    with capture_logs() as logs:
        await fleet.load()
        await fleet.load()

    assert fleet.authenticate(TOKEN) == BOT_ID
    assert [each["kind"] for each in logs if each["event"] == "alert"] == ["token_unreadable"]


async def test_that_no_stored_token_can_be_read_is_one_alert(world: World, fleet: Fleet, database: Database) -> None:
    world.simulator.add_bot(OTHER, "other")
    await fleet.add(OTHER, None)
    await database.write_alone(lambda connection: connection.exec_driver_sql("UPDATE bots SET sealed_token = x'00'"))

    with capture_logs() as logs:
        await fleet.load()

    assert [each["kind"] for each in logs if each["event"] == "alert"] == ["secret_key_differs"]
